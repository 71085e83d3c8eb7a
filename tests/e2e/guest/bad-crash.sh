# A disk that gets full in the middle of the dump, and one that is full from the start. The results are kept in RAM
# meanwhile.
results=/tmp/results
mkdir $results
step log kdump-capture log /proc/vmcore
dd if=/dev/zero of=/mnt/reserve bs=1M count=6 2>/dev/null
cat /dev/zero >/mnt/filler 2>/dev/null
sync
rm /mnt/reserve
step full kdump-capture save /proc/vmcore /mnt/out/vmcore $SAVE_ARGS --summary $results/summary.json
cat /dev/zero >/mnt/filler2 2>/dev/null
sync
step none kdump-capture save /proc/vmcore /mnt/out/vmcore2 $SAVE_ARGS
ls /mnt/out >$results/listing
rm /mnt/filler /mnt/filler2
step missing kdump-capture save /proc/vmcore /mnt/nowhere/vmcore $SAVE_ARGS
cp $results/* /mnt/out
