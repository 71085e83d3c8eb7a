# How much memory is reserved, and an initramfs at the very edge of what the forecast lets into it: accepted, refused
# when the region is a little smaller, and unpacked for real when it is just small enough.
try() {
  step "$@"
  cat /sys/kernel/kexec_crash_loaded >/mnt/out/$1.loaded
}
number() { sed -n "s/.*\"$1\": \([0-9]*\).*/\1/p" /mnt/out/plan.stdout; }

# edge FILE: crash.initrd with as much beside it as the plan says there is room for, less 256 KiB.
edge() {
  step plan kdump-load plan --json --kernel /mnt/Image --initrd /mnt/crash.initrd --append "$CRASH_APPEND"
  room=$(($(number unpack_limit_bytes) - $(number unpacked_memory_bytes)))
  dd if=/dev/zero of=/mnt/filler bs=1k count=$((room / 1024 - 256)) 2>/dev/null
  (cd /mnt && echo filler | cpio -o -H newc | gzip) >/mnt/filler.gz
  cat /mnt/crash.initrd /mnt/filler.gz >$1
  rm /mnt/filler /mnt/filler.gz
}

step fill workload fill /mnt/out/facts.fill /mnt/marker.file || finish
edge /mnt/edge.initrd
set -- --kernel /mnt/Image --append "$CRASH_APPEND"
step reserve kdump-load reserve --json --kernel /mnt/Image --initrd /mnt/crash.initrd --append "$CRASH_APPEND"
try accepted kdump-load load "$@" --initrd /mnt/edge.initrd || finish
step used kdump-load reserve --json
size=$(cat /sys/kernel/kexec_crash_size)
# 1 MiB less than that, and not a whole page: the kernel rounds up.
smaller=$((size - 1048576 - 1000))
step shrink-loaded kdump-load reserve --shrink $smaller
(echo $smaller >/sys/kernel/kexec_crash_size) 2>/mnt/out/kernel-shrink-loaded
step unload kdump-load unload
step shrink kdump-load reserve --shrink $smaller
cat /sys/kernel/kexec_crash_size >/mnt/out/size
step shrunk kdump-load reserve --json --kernel /mnt/Image --initrd /mnt/crash.initrd
step grow kdump-load reserve --shrink $size
try refused kdump-load load "$@" --initrd /mnt/edge.initrd
edge /mnt/smaller.initrd
try load kdump-load load "$@" --initrd /mnt/smaller.initrd || finish
sync
workload crash /mnt/out/facts.crash $CRASH_CPU /proc/sysrq-trigger c
