# In the Debian guest of kdump_tools_bench.py, behind debian-common.sh: makes both initramfs images, or arms with one of them and crashes. The
# kernel's command line says which: bench=setup, bench=kdumpkit, bench=kdump-tools.
case $(sed -n 's/.*bench=\([a-z-]*\).*/\1/p' /proc/cmdline) in
  setup)
    # Who arms is said by hand. (apt's timers only cost time.)
    systemctl disable --quiet kdump-tools kdumpkit-arm.service kdumpkit-arm.path kdumpkit-check kdumpkit-report kdumpkit-hooks \
      apt-daily.timer apt-daily-upgrade.timer
    step ours kdumpkit-mkinitramfs
    step theirs sh -c "rm -f /var/lib/kdump/initrd.img-$release; /etc/kernel/postinst.d/kdump-tools $release && kdump-config symlinks $release"
    mkdir /tmp/unpacked
    (cd /tmp/unpacked && unmkinitramfs /var/lib/kdump/initrd.img-$release . )
    step theirs-packed stat -c %s /var/lib/kdump/initrd.img-$release
    step theirs-unpacked du -s --block-size=1 /tmp/unpacked
    step theirs-modules sh -c 'find /tmp/unpacked -name "*.ko*" -print0 | du -c --block-size=1 --files0-from=- | tail -1'
    step ours-packed stat -c %s /var/lib/kdumpkit/initramfs-$release.img
    touch $out/finished
    sync
    systemctl --no-block poweroff
    ;;
  kdumpkit)
    step arm kdump-load load --config /etc/kdumpkit.toml
    sync
    echo c >/proc/sysrq-trigger
    ;;
  kdump-tools)
    step arm kdump-config load
    sync
    [ "$(cat /sys/kernel/kexec_crash_loaded)" = 1 ] || systemctl --no-block poweroff
    echo c >/proc/sysrq-trigger
    ;;
esac
