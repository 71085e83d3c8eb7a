# Loads that must be refused: first with nothing loaded, then beside an armed crash kernel, which must stay armed, up to
# what cannot be undone before the next boot. Then the crash, for which that kernel is still there.
mkdir -p /etc
echo "nobody:x:65534:65534::/:/bin/sh" >/etc/passwd
as_nobody() { su -s /bin/sh nobody -c "$*"; }
mount -t securityfs securityfs /sys/kernel/security

# try NAME COMMAND: NAME.loaded is what the kernel says then, NAME-status what kdump-load does.
try() {
  step "$@"
  cat /sys/kernel/kexec_crash_loaded >/mnt/out/$1.loaded
  step $1-status kdump-load status
}
load() {
  name=$1
  shift
  try $name kdump-load load --initrd /mnt/crash.initrd --append "$CRASH_APPEND" "$@"
}
load no-kernel --kernel /mnt/missing
step fill workload fill /mnt/out/facts.fill /mnt/marker.file || finish
load load --kernel /mnt/Image
try unload kdump-load unload
load reload --kernel /mnt/Image

load cut-kernel --kernel /mnt/cut.Image
load cut-zboot --kernel /mnt/cut.zboot
load not-a-kernel --kernel /mnt/crash.initrd
load other-architecture --kernel /mnt/amd64.Image
load other-pages --kernel /mnt/16k.Image
load no-memory --kernel /mnt/Image --dtb /mnt/no-memory.dtb
try huge-initrd kdump-load load --kernel /mnt/Image --initrd /mnt/huge.initrd
try no-permission as_nobody kdump-load load --kernel /mnt/Image --initrd /mnt/crash.initrd
try no-capability workload without-boot kdump-load load --kernel /mnt/Image --initrd /mnt/crash.initrd
echo integrity >/sys/kernel/security/lockdown
load locked-down --kernel /mnt/Image
echo 1 >/proc/sys/kernel/kexec_load_disabled
load disabled --kernel /mnt/Image
rm /mnt/cut.* /mnt/amd64.Image /mnt/16k.Image
sync
workload crash /mnt/out/facts.crash $CRASH_CPU /proc/sysrq-trigger c
