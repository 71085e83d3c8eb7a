# In the crash kernel: kdump-capture run, to where the next boot looks. It feeds the watchdog on the PCI bus and ends with a
# reboot.
cat >/kdumpkit.toml <<END
[[target]]
kind = "directory"
path = "/mnt/out/dumps"
END
(
  until grep -qx active /sys/class/watchdog/watchdog0/state; do sleep 0.1; done
  grep -H . /sys/class/watchdog/watchdog0/identity /sys/class/watchdog/watchdog0/state /sys/class/watchdog/watchdog0/timeout \
    /sys/class/watchdog/watchdog0/timeleft >$results/watchdog
  sync
) &
echo yes >$results/finished
step run kdump-capture run --config /kdumpkit.toml
sleep 60
