# Our packages are installed; the machine has one network interface with a leased address. It crashes three times, and the dump goes to
# an NFS export, an ssh server and a web server on the host. The host wrote /targets/*.toml and the key.

# arm NAME: with /targets/NAME.toml. Away from the network there is only the image of before.
arm() {
  systemctl stop kdumpkit-arm.path
  cp /targets/$1.toml /etc/kdumpkit.toml
  step $1-arm systemctl restart kdumpkit-arm kdumpkit-arm-network
  step $1-log journalctl -b -o cat -u kdumpkit-arm -u kdumpkit-arm-network
  step $1-config kdumpkit-mkinitramfs --print-config
  step $1-image kdumpkit-mkinitramfs --verbose
  step $1-status kdump-load status --json
}
crash() {
  next $1
  echo "guest: crashing ($1)"
  echo c >/proc/sysrq-trigger
}

case $(cat /stage 2>/dev/null) in
  '')
    sed -i "s/INTERFACE/$(ls /sys/class/net | grep -m1 '^en')/" /targets/http.toml
    step needs-none kdumpkit-mkinitramfs --needs-network
    arm nfs
    step needs kdumpkit-mkinitramfs --needs-network
    crash ssh
    ;;
  ssh)
    # What this boot did by itself: loaded the image of before, and made it again when the network was up.
    step boot-early systemctl show -P Result -P ExecMainStatus kdumpkit-arm
    step boot-late journalctl -b -o cat -u kdumpkit-arm-network
    step boot-status kdump-load status --json
    step boot-check systemctl show -P Result kdumpkit-check
    arm ssh
    # Nobody of this name: refused now, and what is armed stays.
    cp /targets/unknown.toml /tmp/unknown.toml
    step unknown kdumpkit-mkinitramfs --config /tmp/unknown.toml -n
    crash http
    ;;
  http)
    arm http
    crash back
    ;;
  back)
    step back kdump-load status --json
    step back-failed systemctl --failed --no-legend
    touch $out/finished
    sync
    systemctl --no-block poweroff
    ;;
esac
