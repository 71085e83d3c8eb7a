# No crash kernel: QEMU dumps this machine, once alive and once after its panic.
[ -e /sys/firmware/qemu_fw_cfg ] || echo "guest: qemu_fw_cfg is not there, so QEMU will not learn where the VMCOREINFO is"
step fill workload fill /mnt/out/facts.fill /mnt/marker.file || finish
cat /sys/kernel/vmcoreinfo >/mnt/out/vmcoreinfo
echo "host: dump live"
sleep 2
workload crash /mnt/out/facts.crash $CRASH_CPU /proc/sysrq-trigger c
