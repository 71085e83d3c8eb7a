#!/bin/busybox sh
# PID 1 of a guest that will be broken: loads the module, then does what comes on the console, line by line. A kernel that takes no module
# breaks itself (LKDTM).
/bin/busybox --install -s /bin
export PATH=/bin:/sbin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
exec </dev/console >/dev/console 2>&1
stty -echo
for module in $(ls /modules); do insmod /modules/$module || echo "guest: cannot load $module"; done
echo 1 >/proc/sys/kernel/panic_on_oops
to=/sys/module/kdk_plant/parameters/plant
[ -e $to ] || { mount -t debugfs debugfs /sys/kernel/debug; to=/sys/kernel/debug/provoke-crash/DIRECT; }
plant() { sh -c "echo $1 >$to" & }
echo "guest: ready"
while read -r line; do eval "$line"; done
