#!/bin/bash
# dracut's module of kdumpkit, for an initramfs that only captures:
#   dracut --no-hostonly --modules kdumpkit --omit-drivers ".*" FILE RELEASE
# What goes in is what kdumpkit-mkinitramfs finds: its programs, configuration, kernel modules and firmware, in one tree.
# KDUMPKIT_OPTIONS: options for it.

# Never in an initramfs that nobody asked it for: that of a normal boot.
check() {
    require_binaries kdumpkit-mkinitramfs || return 1
    return 255
}

# Nothing: dracut's own init and the shell it is written in are not needed.
depends() {
    return 0
}

install() {
    # shellcheck disable=SC2154 # initdir, kernel: dracut's
    # shellcheck disable=SC2086 # options are words
    kdumpkit-mkinitramfs $KDUMPKIT_OPTIONS --tree "$initdir" "$kernel" || {
        derror "kdumpkit: without what leads to the dump's targets there is no use for this image"
        exit 1
    }
    # The module "base" comes before this one, where somebody wants it.
    if [[ -e $initdir/init || -L $initdir/init ]]; then
        # The first hook there is: before udev, before the root file system is looked for.
        # shellcheck disable=SC2154
        inst_hook cmdline 00 "$moddir/capture.sh"
    else
        ln -s bin/kdump-init "$initdir/init"
    fi
}
