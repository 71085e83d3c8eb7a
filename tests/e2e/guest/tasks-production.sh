# A machine with a thousand processes asleep, for tests/bench/report_bench.py.
count=0
while [ $count -lt 1000 ]; do
  sleep 10000 &
  count=$((count + 1))
done
step fill workload fill /mnt/out/facts.fill /mnt/marker.file || finish
step load kdump-load load --kernel /mnt/Image --initrd /mnt/crash.initrd --reuse-command-line --append "$CRASH_APPEND" || finish
sync
workload crash /mnt/out/facts.crash $CRASH_CPU /proc/sysrq-trigger c
