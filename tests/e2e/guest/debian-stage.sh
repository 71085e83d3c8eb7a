# Installs our packages and does what the README says, crashes the armed machine, and looks at what it comes back to.

# How often the crash kernel was loaded in this boot, and waits until it was once more.
arms() { journalctl -b -o cat -u kdumpkit-arm | grep -c '^armed:'; }
armed_again() {
  tries=0
  until [ $(arms) -gt $1 ] || [ $tries = 60 ]; do
    sleep 0.5
    tries=$((tries + 1))
  done
  echo "$(arms) loads"
  [ $(arms) -gt $1 ]
}

case $(cat /stage 2>/dev/null) in
  '')
    step install apt-get -y install /packages/*.deb
    step mkinitramfs kdumpkit-mkinitramfs --verbose
    step not-armed /usr/lib/kdumpkit/check-armed
    step reserve kdump-load reserve --json --initrd /var/lib/kdumpkit/initramfs-$release.img
    step apply kdump-load reserve --apply --yes --run --initrd /var/lib/kdumpkit/initramfs-$release.img
    next armed
    systemctl --no-block reboot
    ;;
  armed)
    step status kdump-load status --json
    step check systemctl show -P Result kdumpkit-check
    step check-log journalctl -b -o cat -u kdumpkit-check
    step arm-log journalctl -b -o short-monotonic -u kdumpkit-arm
    step failed systemctl --failed --no-legend

    # A mistake in the configuration is refused, and what is armed stays.
    cp /etc/kdumpkit.toml /good.toml
    echo 'nonsense = 1' >>/etc/kdumpkit.toml
    tries=0
    until systemctl is-failed --quiet kdumpkit-arm || [ $tries = 60 ]; do
      sleep 0.5
      tries=$((tries + 1))
    done
    step refused journalctl -b -o cat -u kdumpkit-arm
    step still-armed kdump-load status
    before=$(arms)
    echo "KDUMP_LOAD_OPTIONS='--append \"nr_cpus=1 kdk_test=1\"'" >/etc/default/kdumpkit
    cp /good.toml /etc/kdumpkit.toml
    step config-changed armed_again $before

    # The running kernel's package came again: what its postinst runs for us.
    before=$(arms)
    step kernel-again /etc/kernel/postinst.d/kdumpkit $release
    step armed-again armed_again $before
    # One that cannot be armed is no reason not to install it.
    step kernel-without-modules /etc/kernel/postinst.d/kdumpkit 6.99-none

    # Another kernel comes: the crash initramfs is made for it before it runs; until then the old one stays armed.
    # (The initramfs of its own boot with this machine's modules only: with all there are it takes many minutes here.)
    echo MODULES=dep >/etc/initramfs-tools/conf.d/this-machine
    step kernel-upgrade apt-get -y install /kernel/*.deb
    step kernel-image sh -c 'ls /var/lib/kdumpkit/initramfs-*.img'
    step kernel-upgrade-status kdump-load status
    step old-release uname -r
    next upgraded
    systemctl --no-block reboot
    ;;
  upgraded)
    step upgraded-release uname -r
    step upgraded kdump-load status --json
    step upgraded-check systemctl show -P Result kdumpkit-check
    step upgraded-log journalctl -b -o cat -u kdumpkit-arm
    step upgraded-failed systemctl --failed --no-legend
    step verify kdump-load verify
    # A running system answers as a dump does.
    step live-sys kdump-analyze sys /proc/kcore --json
    step live-ps kdump-analyze ps /proc/kcore --json
    step live-bt kdump-analyze bt /proc/kcore 1 --json
    step live-log kdump-analyze log /proc/kcore --json
    step live-shell sh -c 'printf "sym panic\nbt 1\n" | kdump-analyze shell /proc/kcore'
    next crashed
    echo "guest: crashing after $(cut -d' ' -f1 /proc/uptime) s of uptime"
    echo c >/proc/sysrq-trigger
    ;;
  crashed)
    step back kdump-load status
    step back-check systemctl show -P Result kdumpkit-check
    step report-log journalctl -b -o cat -u kdumpkit-report
    step report-priority journalctl -b -o cat -u kdumpkit-report -p crit
    step report-again /usr/lib/kdumpkit/report-dumps
    step back-failed systemctl --failed --no-legend
    # The old kernel goes, and its initramfs with it.
    step old-removed apt-get -y remove linux-image-$(cat $out/old-release.stdout)
    step old-image sh -c 'ls /var/lib/kdumpkit/initramfs-*.img'
    step old-removed-status kdump-load status
    touch $out/finished
    sync
    systemctl --no-block poweroff
    ;;
esac
