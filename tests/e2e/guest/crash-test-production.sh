# `kdump-load test --crash`, and what `status` says of it in the next boot, which is of the same disk and runs this, too.
mkdir -p /mnt/var /mnt/out/dumps
ln -s /mnt/var /var
if [ -e /mnt/out/finished ]; then
  step arrived kdump-load status --json
  step arrived-text kdump-load status
  # What else could have come of it.
  cd /mnt/out/dumps
  dump=$(ls)
  mv "$dump" "$dump.incomplete"
  step incomplete kdump-load status --json
  mv "$dump.incomplete/vmcore" /mnt/out/vmcore
  step log-only kdump-load status --json
  mv "$dump.incomplete/dmesg.txt" /mnt/out/dmesg.txt
  step not-arrived kdump-load status --json
  cd /
  finish
fi
step unarmed kdump-load test --crash --yes-crash-this-machine
step load kdump-load load --kernel /mnt/Image --initrd /mnt/crash.initrd --append "$CRASH_APPEND" || finish
step unasked kdump-load test --crash --dump-dir /mnt/out/dumps </dev/null
step before kdump-load status --json
sync
step crash kdump-load test --crash --yes-crash-this-machine --dump-dir /mnt/out/dumps
echo "guest: still alive after the crash"
