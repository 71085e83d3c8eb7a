#!/bin/busybox sh
# PID 1 of both guest kernels: brings up the disk, then runs /stage.sh (production.sh before the crash, crash.sh after).
# Whatever a step prints and returns goes to $results, which the host reads back: NAME.stdout, NAME.stderr, NAME.rc.
/bin/busybox --install -s /bin
export PATH=/bin:/sbin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
exec </dev/console >/dev/console 2>&1

results=/mnt/out

finish() {
  sync
  umount /mnt
  poweroff -f
  sleep 60
}

step() {
  name=$1
  shift
  echo "guest: $name: $*"
  "$@" >$results/$name.stdout 2>$results/$name.stderr
  rc=$?
  echo $rc >$results/$name.rc
  cat $results/$name.stderr
  echo "guest: $name: exit $rc after $(cut -d' ' -f1 /proc/uptime) s of uptime"
  return $rc
}

for module in $(ls /modules); do insmod /modules/$module || echo "guest: cannot load $module"; done
tries=0
until [ -b /dev/vda ] || [ $tries = 50 ]; do
  sleep 0.1
  tries=$((tries + 1))
done
mount -t ext4 /dev/vda /mnt || { echo "guest: no disk"; poweroff -f; }
mkdir -p /mnt/out
. /guest.conf
. /stage.sh
[ ! -e /proc/vmcore ] || echo yes >/mnt/out/finished
finish
