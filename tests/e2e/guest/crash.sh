# In the crash kernel: the log first, then the dump; the whole vmcore only when the host asked for it.
cat /proc/cmdline >/mnt/out/crash.cmdline
cat /proc/meminfo >/mnt/out/crash.meminfo
step log kdump-capture log /proc/vmcore
step info kdump-capture info /proc/vmcore
step save kdump-capture save /proc/vmcore /mnt/out/vmcore $SAVE_ARGS --summary /mnt/out/summary.json
[ -z "$KEEP_FULL" ] || step full dd if=/proc/vmcore of=/mnt/out/full.elf bs=1M
