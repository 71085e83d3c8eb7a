# Before the crash: use memory in every way the dump filter knows, arm the crash kernel, write the facts down, crash.
cat /mnt/Image /mnt/Image >/mnt/filler
cat /mnt/filler >/dev/null
step fill workload fill /mnt/out/facts.fill /mnt/marker.file || finish
[ ! -e /bin/kdump-capture ] || step estimate kdump-capture estimate -d 31 --json
set -- --kernel /mnt/Image --initrd /mnt/crash.initrd --reuse-command-line --append "$CRASH_APPEND" $LOAD_ARGS
step plan kdump-load plan --json "$@"
step load kdump-load load "$@" || finish
step status kdump-load status --json
cat /proc/iomem >/mnt/out/iomem
file=/proc/sysrq-trigger
if [ -e /kdk_crash.ko ]; then
  echo 1 >/proc/sys/kernel/panic_on_oops
  [ ! -e /proc/sys/kernel/unknown_nmi_panic ] || echo 1 >/proc/sys/kernel/unknown_nmi_panic
  insmod /kdk_crash.ko || finish
  file=/sys/module/kdk_crash/parameters/crash
fi
sync
echo "guest: crashing on CPU $CRASH_CPU: $TRIGGER"
workload crash /mnt/out/facts.crash $CRASH_CPU $file "$TRIGGER"
echo "guest: still alive after the crash"
