# Our packages are installed and the machine is armed. It is loaded with the initramfs of initramfs-tools, of dracut, and of
# initramfs-tools again without any of its scripts, and crashes each time; the targets are a second disk, one that is full with the
# next behind it, and the second disk again.

# weigh NAME IMAGE: what is in it, unpacked.
weigh() {
  mkdir -p /tmp/$1
  (cd /tmp/$1 && gzip -dc $2 | cpio -idm --quiet --no-absolute-filenames)
  step $1-files sh -c "cd /tmp/$1 && find . -type f | sort"
  step $1-packed stat -c %s $2
  step $1-unpacked sh -c "cd /tmp/$1 && find . -type f -print0 | du -c --apparent-size --block-size=1 --files0-from=- | tail -1"
  step $1-modules sh -c "cd /tmp/$1 && find . -name '*.ko*' -print0 | du -c --apparent-size --block-size=1 --files0-from=- | tail -1"
  rm -rf /tmp/$1
}

# arm NAME IMAGE [APPEND]: the targets of the configuration are on standard input; the image is made by the command in $make.
arm() {
  { printf '[load]\ninitrd = "%s"\nappend = "nr_cpus=1 %s"\n' "$2" "$3"; cat; } >/tmp/kdumpkit.toml
  # One change: the unit that watches it must not find half of it.
  systemctl stop kdumpkit-arm.path
  mv /tmp/kdumpkit.toml /etc/kdumpkit.toml
  step $1-make $make
  step $1-load systemctl restart kdumpkit-arm
  step $1-arm journalctl -b -o cat -u kdumpkit-arm
  step $1-status kdump-load status --json
}
crash() {
  next $1
  echo "guest: crashing ($1)"
  echo c >/proc/sysrq-trigger
}
second_disk() {
  mkdir -p /second
  mount LABEL=$1 /second
  cp -a /second $out/$1
  umount /second
}

case $(cat /stage 2>/dev/null) in
  '')
    step first-status kdump-load status --json
    make="mkinitramfs -d /usr/share/kdumpkit/initramfs-tools -o /boot/crash-initramfs-tools.img $release"
    arm initramfs-tools /boot/crash-initramfs-tools.img <<'END'
[[target]]
kind = "mount"
device = "LABEL=crash"
path = "dumps"
END
    weigh initramfs-tools /boot/crash-initramfs-tools.img
    crash dracut
    ;;
  dracut)
    step after-initramfs-tools kdump-load status --json
    mkdir -p /second
    mount LABEL=full /second
    dd if=/dev/zero of=/second/filler bs=1M count=10
    umount /second
    set -f # the pattern of drivers is no pattern of files
    make="dracut --no-hostonly --modules kdumpkit --omit-drivers .* --force /boot/crash-dracut.img $release"
    arm dracut /boot/crash-dracut.img <<'END'
[[target]]
kind = "mount"
device = "LABEL=full"
[[target]]
kind = "directory"
path = "/var/crash"
END
    set +f
    weigh dracut /boot/crash-dracut.img
    crash no-shell
    ;;
  no-shell)
    second_disk full
    make=true
    arm no-shell /boot/crash-initramfs-tools.img rdinit=/usr/bin/kdump-init <<'END'
[[target]]
kind = "mount"
device = "LABEL=crash"
path = "dumps"
END
    crash back
    ;;
  back)
    second_disk crash
    step back kdump-load status --json
    step back-failed systemctl --failed --no-legend
    # What README.md and docs/ show.
    cp /var/lib/kdumpkit/initramfs-$release.img /boot/kdump.img
@DOCUMENTED@
    touch $out/finished
    sync
    systemctl --no-block poweroff
    ;;
esac
