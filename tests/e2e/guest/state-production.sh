# An armed machine that changes: its files, its CPUs, its next crash kernel. NAME.loaded is what the kernel says after
# a step. Then the crash, which shows that what was put back also works.
try() {
  step "$@"
  cat /sys/kernel/kexec_crash_loaded >/mnt/out/$1.loaded
}

# On amd64 a CPU comes. It is put online: with one that never was, QEMU resets the machine at the crash (not looked
# into). QEMU's arm64 board plugs none.
plug_cpu() {
  echo "host: plug"
  tries=0
  until [ -e /sys/devices/system/cpu/cpu2/crash_notes ] || [ $tries = 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
  done
  echo 1 >/sys/devices/system/cpu/cpu2/online
  ls /sys/devices/system/cpu >/mnt/out/cpus
  cat /sys/devices/system/cpu/crash_hotplug >/mnt/out/crash_hotplug 2>/dev/null
}

# What the udev rule runs, by several events at once.
storm() {
  for i in 1 2 3 4; do
    kdump-load reload --if-stale --settle 2 >/mnt/out/storm.$i 2>&1 &
  done
  wait
}

# A load that the running kernel refuses only after it freed the image before.
# kexec_file_load: the kernel file is replaced, and somebody has the new one open for writing (ETXTBSY).
refused_file() {
  mv /mnt/kernel /mnt/kernel.new
  cp /mnt/kernel.new /mnt/kernel
  printf 'x' >>/mnt/kernel
  exec 9>>/mnt/kernel
  try refused kdump-load reload
  exec 9>&-
}
# kexec_load: a kernel whose header asks for more than half of the running one's memory (EINVAL), let through since
# /proc/meminfo is made to lie.
refused_segments() {
  cp /mnt/kernel /mnt/big
  printf '\0\0\0\17\0\0\0\0' | dd of=/mnt/big bs=1 seek=16 conv=notrunc 2>/dev/null # image_size: 240 MiB
  set -- --kernel /mnt/big --initrd /mnt/initrd --append "$CRASH_APPEND"
  try foreseen kdump-load load "$@"
  sed 's/^MemTotal: .*/MemTotal:        8388608 kB/' /proc/meminfo >/tmp/meminfo
  mount --bind /tmp/meminfo /proc/meminfo
  try refused kdump-load load "$@"
  umount /proc/meminfo
  rm /mnt/big
}

step fill workload fill /mnt/out/facts.fill /mnt/marker.file || finish
cp /mnt/Image /mnt/kernel
cp /mnt/crash.initrd /mnt/initrd
try load kdump-load load --kernel /mnt/kernel --initrd /mnt/initrd --append "$CRASH_APPEND" || finish
try verify kdump-load verify --json
if [ $(uname -m) = x86_64 ]; then
  plug_cpu
  try cpu-status kdump-load status
  try cpu-verify kdump-load verify
  storm
  try reloaded kdump-load verify
  refused_file
else
  # Packages are upgraded: the initramfs is another one, then the kernel.
  cat /mnt/initrd /mnt/initrd >/mnt/initrd.new
  mv /mnt/initrd.new /mnt/initrd
  try initrd-verify kdump-load verify
  try initrd-status kdump-load status
  storm
  try reloaded kdump-load verify
  printf 'x' >>/mnt/kernel
  refused_segments
fi
try file-verify kdump-load verify
try refused-status kdump-load status --json
rm -f /mnt/kernel.new
ls /var/lib/kdumpkit/armed >/mnt/out/kept
sync
workload crash /mnt/out/facts.crash $CRASH_CPU /proc/sysrq-trigger c
