# An armed machine that changes: its files, its CPUs, its next crash kernel. NAME.loaded is what the kernel says after
# a step. Then the crash, which shows that what was put back also works.
try() {
  step "$@"
  cat /sys/kernel/kexec_crash_loaded >/mnt/out/$1.loaded
}
step fill workload fill /mnt/out/facts.fill /mnt/marker.file || finish
cp /mnt/Image /mnt/kernel
cp /mnt/crash.initrd /mnt/initrd
try load kdump-load load --kernel /mnt/kernel --initrd /mnt/initrd --append "$CRASH_APPEND" || finish
try verify kdump-load verify --json

# A CPU comes. It is put online: with one that never was, QEMU resets the machine at the crash (not looked into).
echo "host: plug"
tries=0
until [ -e /sys/devices/system/cpu/cpu2/crash_notes ] || [ $tries = 100 ]; do
  sleep 0.1
  tries=$((tries + 1))
done
echo 1 >/sys/devices/system/cpu/cpu2/online
ls /sys/devices/system/cpu >/mnt/out/cpus
cat /sys/devices/system/cpu/crash_hotplug >/mnt/out/crash_hotplug 2>/dev/null
try cpu-status kdump-load status
try cpu-verify kdump-load verify
# What the udev rule runs, by several events at once.
for i in 1 2 3 4; do
  kdump-load reload --if-stale --settle 2 >/mnt/out/storm.$i 2>&1 &
done
wait
try cpu-reloaded kdump-load verify

# A new kernel file that the running kernel refuses only after it freed the loaded image: somebody has it open for
# writing (ETXTBSY). The old file is gone by then.
mv /mnt/kernel /mnt/kernel.new
cp /mnt/kernel.new /mnt/kernel
printf 'x' >>/mnt/kernel
try file-verify kdump-load verify
exec 9>>/mnt/kernel
try refused kdump-load reload
exec 9>&-
try refused-status kdump-load status
rm -f /mnt/kernel.new
ls /var/lib/kdumpkit/armed >/mnt/out/kept
sync
workload crash /mnt/out/facts.crash $CRASH_CPU /proc/sysrq-trigger c
