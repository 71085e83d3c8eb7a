# In the crash kernel: `kdump-capture run` again and again over one crash, with every kind of target. /dev/vdb is a small
# ext4 file system, /dev/vdc a raw disk; both appear in this order after the first disk, whose directory is /mnt. The
# watchdog is one of the kernel's own, softdog.
cat /proc/meminfo >$results/crash.meminfo
nproc >$results/crash.nproc
mkdir -p /run

# try NAME: runs with the configuration on standard input.
try() {
  cat >/$1.toml
  step $1 kdump-capture run --config /$1.toml --final-action none
}

try directory <<END
[run]
console_lines = 5
[[target]]
kind = "directory"
path = "/mnt/out/directory"
END

# Found by its label, the type of its file system unknown.
try mount <<END
[[target]]
kind = "mount"
device = "LABEL=crash"
path = "dumps"
keep = 1
END
mkdir -p /second
mount -t ext4 /dev/vdb /second
find /second >$results/mount.files
(cd /second/dumps/*Z && sha256sum -c SHA256SUMS) >$results/mount.sums 2>&1
rm -rf /second/dumps
umount /second

# The try is killed while it writes, as the kernel does when memory runs out.
cat >/killed.toml <<END
[[target]]
kind = "mount"
device = "/dev/vdb"
path = "killed"
END
kdump-capture run --config /killed.toml --final-action none 2>$results/killed.stderr &
run=$!
tries=0
until grep -q '^saving .* pages' $results/killed.stderr || [ $tries = 3000 ]; do
  usleep 10000
  tries=$((tries + 1))
done
kill -KILL $(cat /proc/$run/task/$run/children)
wait $run
echo $? >$results/killed.rc
mount -t ext4 /dev/vdb /second
(cd /second/killed/*Z*[!l] && sha256sum -c SHA256SUMS) >$results/killed.sums 2>&1
rm -rf /second/killed
dd if=/dev/zero of=/second/filler bs=1M count=28 2>/dev/null
sync
umount /second

step claim kdump-capture claim /dev/vdc
# The first target is too small, the second takes the dump.
try second <<END
[[target]]
kind = "mount"
device = "/dev/vdb"
type = "ext4"
[[target]]
kind = "raw"
device = "/dev/vdc"
END
mount -t ext4 /dev/vdb /second
find /second >$results/second.files
cp /second/*.incomplete/vmcore.incomplete $results/second.vmcore
cp /second/*.incomplete/dmesg.txt $results/second.dmesg
umount /second
step fetch kdump-capture fetch /dev/vdc $results/raw --clear
step fetch-again kdump-capture fetch /dev/vdc $results/raw2

# The host's loopback through QEMU's network; the host put client, key and configuration into /ssh.
if [ -e /ssh ]; then
  ifconfig lo up
  ifconfig eth0 10.0.2.15 up
  try ssh </ssh/config.toml
fi
[ ! -e /nfs ] || try nfs </nfs/config.toml

# Sealed to a public key whose secret half stays on the host.
if [ -e /seal ]; then
  try sealed <<END
[[target]]
kind = "directory"
path = "/mnt/out/sealed"
encrypt_to = "/seal/key.pub"
END
fi

# Nowhere to go: there is no such device, and nobody listens.
try nowhere <<END
[run]
total_deadline = "60s"
dump_deadline = "60s"
[[target]]
kind = "mount"
device = "UUID=00000000-0000-0000-0000-000000000000"
wait = "1s"
[[target]]
kind = "directory"
path = "/proc/nowhere"
END

# hold NAME KIB: somebody takes memory until only KIB are left; the dump has to do with that.
mount -t tmpfs -o size=100% tmpfs /run
hold() {
  left=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo)
  dd if=/dev/urandom of=/run/$1 bs=1k count=$((left - $2)) 2>/dev/null
  cat /proc/meminfo >$results/$1.meminfo
  try $1 <<END
[capture]
threads = 2
[[target]]
kind = "directory"
path = "/mnt/out/$1"
END
}
hold little 40960
hold less 24576
dmesg | grep -iE 'oom|out of memory' >$results/oom

# The watchdog has less patience than the first target takes: it must be fed meanwhile.
dog=/sys/class/watchdog/watchdog0
(
  sleep 8
  cat $dog/state $dog/timeout >$results/watchdog.fed
) &
try watched <<END
[run]
watchdog_timeout = "6s"
[[target]]
kind = "mount"
device = "/dev/absent"
wait = "12s"
[[target]]
kind = "directory"
path = "/mnt/out/watched"
END
cat $dog/state >$results/watchdog.after

# The last step: nobody is left to feed it, and it resets the machine. The host sees whether it did.
cat >/starved.toml <<END
[run]
watchdog_timeout = "6s"
[[target]]
kind = "mount"
device = "/dev/absent"
wait = "60s"
END
kdump-capture run --config /starved.toml &
until grep -qx active $dog/state; do sleep 0.1; done
kill -STOP $!
echo yes >$results/finished
sync
echo "guest: nobody feeds the watchdog"
sleep 60
echo "guest: the watchdog did nothing"
