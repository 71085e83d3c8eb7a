# What runs in a Debian guest as a service in each boot: this, and then a stage of its own. What a step prints and returns is
# in /out: NAME.stdout, NAME.stderr, NAME.rc.
out=/out
mkdir -p $out
step() {
  name=$1
  shift
  echo "guest: $name: $*"
  "$@" >$out/$name.stdout 2>$out/$name.stderr
  rc=$?
  echo $rc >$out/$name.rc
  echo "guest: $name: exit $rc after $(cut -d' ' -f1 /proc/uptime) s of uptime"
}
next() {
  echo $1 >/stage
  sync
}
release=$(uname -r)
export DEBIAN_FRONTEND=noninteractive
# The units of this boot have done their work, or failed.
systemctl is-system-running --wait >/dev/null
