# Loads that must be refused, each leaving the machine as it was; then a good one, and the crash.
dd if=/mnt/Image of=/mnt/cut.Image bs=1M count=3 2>/dev/null
mkdir -p /etc
echo "nobody:x:65534:65534::/:/bin/sh" >/etc/passwd
as_nobody() { su -s /bin/sh nobody -c "$*"; }

try() {
  name=$1
  shift
  step $name "$@" --initrd /mnt/crash.initrd --reuse-command-line
  cat /sys/kernel/kexec_crash_loaded >/mnt/out/$name.loaded
}
try no-kernel kdump-load load --kernel /mnt/missing
try cut-kernel kdump-load load --kernel /mnt/cut.Image
try not-a-kernel kdump-load load --kernel /mnt/crash.initrd
try no-permission as_nobody kdump-load load --kernel /mnt/Image
step huge-initrd kdump-load load --kernel /mnt/Image --initrd /mnt/huge.initrd --reuse-command-line
cat /sys/kernel/kexec_crash_loaded >/mnt/out/huge-initrd.loaded
rm /mnt/cut.Image
step not-armed kdump-load status
step fill workload fill /mnt/out/facts.fill /mnt/marker.file || finish
try load kdump-load load --kernel /mnt/Image --append "$CRASH_APPEND" || finish
step armed kdump-load status
step unload kdump-load unload
cat /sys/kernel/kexec_crash_loaded >/mnt/out/unload.loaded
try reload kdump-load load --kernel /mnt/Image --append "$CRASH_APPEND" || finish
sync
workload crash /mnt/out/facts.crash $CRASH_CPU /proc/sysrq-trigger c
