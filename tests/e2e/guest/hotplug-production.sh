# A machine that grows after it was armed: a CPU and memory come and are used; then it crashes on that CPU. Where systemd is
# there, it becomes init and runs this file once more as a service, and the udev rule does what is needed.
if [ $$ = 1 ] && [ -x /lib/systemd/systemd ]; then
  sed -n '/^results=/p; /^[a-z]*() {$/,/^}$/p' /init >/functions.sh
  mkdir -p /etc/systemd/system
  cat >/etc/systemd/system.conf <<END
[Manager]
LogTarget=kmsg
LogLevel=warning
ShowStatus=no
DefaultStandardOutput=tty
END
  cat >/etc/systemd/system/guest.service <<END
[Unit]
DefaultDependencies=no
Requires=systemd-udevd.service sysinit.target
After=systemd-udevd.service sysinit.target
[Service]
ExecStart=/bin/sh /stage.sh
END
  cat >/etc/systemd/system/guest.target <<END
[Unit]
Requires=guest.service
END
  ln -s guest.target /etc/systemd/system/default.target
  # Where the rule has it.
  program=$(sed -n 's|.* \(/[^ ]*/kdump-load\) .*|\1|p' /lib/udev/rules.d/98-kdumpkit.rules)
  mkdir -p ${program%/*}
  ln -s /bin/kdump-load $program
  exec /lib/systemd/systemd
fi
if [ $$ != 1 ]; then
  exec </dev/console >/dev/console 2>&1
  export PATH=/bin:/sbin:/usr/bin
  . /functions.sh
  . /guest.conf
fi

cpus=/sys/devices/system/cpu
memory=/sys/devices/system/memory
# At most half a minute.
wait_until() {
  tries=0
  until eval "$1" || [ $tries = 300 ]; do
    sleep 0.1
    tries=$((tries + 1))
  done
}

set -- --kernel /mnt/Image --initrd /mnt/crash.initrd --append "$CRASH_APPEND" $LOAD_ARGS
step plan kdump-load plan --json "$@"
step load kdump-load load "$@" || finish
step loaded-status kdump-load status --json
cat /proc/iomem >/mnt/out/iomem.before
if [ -e /run/udev/control ]; then
  step udev-cpu sh -c "udevadm test --action=add $cpus/cpu1 2>/dev/null"
  step udev-memory sh -c "udevadm test --action=online $memory/$(ls $memory | grep -m 1 'memory[0-9]') 2>/dev/null"
  # All events at once, so that it does not matter how fast this machine is.
  udevadm control --stop-exec-queue
fi

if [ -n "$PLUG_CPU" ]; then
  echo "host: plug"
  wait_until "[ -e $cpus/cpu2/online ]"
fi
if [ -e $cpus/cpu2 ]; then
  step unstarted-status kdump-load status
  echo 1 >$cpus/cpu2/online
  cat $cpus/online >/mnt/out/cpus
fi
blocks=$((PLUG_MEMORY * 1048576 / 0x$(cat $memory/block_size_bytes)))
had=$(ls $memory | grep -c 'memory[0-9]')
echo offline >$memory/auto_online_blocks
echo "host: plug memory $PLUG_MEMORY"
wait_until "[ \$(ls $memory | grep -c 'memory[0-9]') = $((had + blocks)) ]"
# Movable: user memory goes there first.
for block in $(grep -l offline $memory/memory*/state); do echo online_movable >$block; done
cat /proc/iomem >/mnt/out/iomem.after
step plugged-status kdump-load status --json
step plugged-verify kdump-load verify --json
if [ -e /run/udev/control ]; then
  udevadm control --start-exec-queue
  step udev-settled udevadm settle --timeout=60
  wait_until 'kdump-load status >/dev/null'
  sleep 5  # for a second reload, which should not come
else
  step reload kdump-load reload --if-stale
fi
step final-status kdump-load status --json
step final-verify kdump-load verify

step fill workload fill /mnt/out/facts.fill /mnt/marker.file || finish
sync
workload crash /mnt/out/facts.crash $CRASH_CPU /proc/sysrq-trigger c
