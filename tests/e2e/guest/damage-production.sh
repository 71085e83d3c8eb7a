# Arms the crash kernel, changes one bit of what was loaded, and crashes.
insmod /kdk_crash.ko || finish
set -- --kernel /mnt/Image --initrd /mnt/crash.initrd --append "$CRASH_APPEND" $LOAD_ARGS
step plan kdump-load plan --json "$@"
step text kdump-load plan "$@"
step load kdump-load load "$@" || finish
# "  initrd  0x00006ae00000-0x..." among the segments; the file's own line has its path there.
start=$(awk '$1 == "initrd" && $2 ~ /^0x/ { sub(/-.*/, "", $2); print $2 }' /mnt/out/text.stdout)
flip() { echo $((start + 1000001)) >/sys/module/kdk_crash/parameters/flip; }
step flip flip || finish
step verify kdump-load verify
sync
echo "guest: crashing"
echo c >/proc/sysrq-trigger
