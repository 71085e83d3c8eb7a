# Loads every kernel file of /mnt/kernels, one after another; the crash is saved by what was loaded last: the unified kernel
# image, if there is one, with what it brings along.
step fill workload fill /mnt/out/facts.fill /mnt/marker.file || finish
for file in $(ls /mnt/kernels); do
  step load-$file kdump-load load --kernel /mnt/kernels/$file --initrd /mnt/crash.initrd --append "$CRASH_APPEND" $LOAD_ARGS ||
    finish
done
if [ -e /mnt/kernels/linux.efi ]; then
  set -- --kernel /mnt/kernels/linux.efi --uki-initrd --uki-command-line --append "$CRASH_APPEND" $LOAD_ARGS
  step plan kdump-load plan --json "$@"
  step load kdump-load load "$@" || finish
fi
step verify kdump-load verify --json
find / -xdev -type f -size +2000 >/mnt/out/big-files
sync
workload crash /mnt/out/facts.crash $CRASH_CPU /proc/sysrq-trigger c
