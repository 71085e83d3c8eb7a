"""Debian's systemd and udev for a guest whose init they shall be: the programs, the libraries they need, udev's rules and
the few units that start them. Kept in the cache like a kernel."""
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import initramfs
import packages
from machines import Machine

PROGRAMS = ["lib/systemd/systemd", "lib/systemd/systemd-udevd", "usr/bin/systemd-run", "bin/udevadm"]
# What a service needs by default, and udev itself.
UNITS = ["basic.target", "local-fs.target", "paths.target", "shutdown.target", "slices.target", "sockets.target", "swap.target",
         "sysinit.target", "systemd-udevd-control.socket", "systemd-udevd-kernel.socket", "systemd-udevd.service",
         "timers.target", "umount.target"]
# A library's package, where it is not one of the first ones' own.
PACKAGES = ["systemd", "udev", "libsystemd-shared", "libacl1", "libapparmor1", "libaudit1", "libblkid1", "libc6", "libcap2",
            "libcap-ng0", "libcrypt1", "libgcrypt20", "libgpg-error0", "libip4tc2", "libkmod2", "liblz4-1", "liblzma5", "libmount1",
            "libpam0g", "libpcre2-8-0", "libseccomp2", "libselinux1", "libssl3", "libzstd1"]


def tree(machine: Machine, download: bool = False) -> Path:
    """The files for the initramfs, below the directory that is returned."""
    final = packages.STORE / f"systemd-{machine.debian}"
    if not final.exists():
        if not download:
            raise packages.Skip(f"systemd for {machine.debian} is not in {packages.CACHE}: run scripts/deps")
        packages.STORE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=packages.STORE, prefix=".partial-") as temp:
            whole, wanted = Path(temp, "whole"), Path(temp, "wanted")
            for name in PACKAGES:
                packages.fetch(f"{name}:{machine.debian}", Path(temp, name), lambda deb, to: packages.extract(deb, to, "./*"))
                subprocess.run(["cp", "-a", f"{temp}/{name}/.", whole], check=True)
            _pick(whole, wanted, machine)
            wanted.rename(final)
    return final


def _pick(whole: Path, wanted: Path, machine: Machine) -> None:
    files = [Path(name) for name in PROGRAMS]
    files += [Path("lib/systemd/system", name) for name in UNITS]
    files += [path.relative_to(whole) for path in whole.glob("lib/udev/rules.d/*.rules")]
    for name in files:
        source = whole / name
        if source.is_symlink():  # udevd is udevadm by another name, and that link is absolute
            source = whole / source.readlink().relative_to("/")
        _copy(source, wanted / name)
    # All into the one directory that the loader looks into without being told.
    libraries = wanted / "lib" / machine.triplet
    pending = [wanted / name for name in PROGRAMS]
    while pending:
        for name in _needed(pending.pop()):
            if name.startswith("ld-linux") or (libraries / name).exists():
                continue
            found = next(whole.glob(f"**/{name}"), None)
            if found is None:
                raise RuntimeError(f"{name}: in none of the packages {PACKAGES}")
            _copy(found, libraries / name)
            pending.append(libraries / name)
    interpreter = re.search(r"interpreter: /(\S+)\]", _readelf("-l", wanted / PROGRAMS[0]))[1]
    _copy(next(path for path in whole.glob("**/" + Path(interpreter).name) if path.is_file()), wanted / interpreter)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def _readelf(option: str, file: Path) -> str:
    return subprocess.run(["readelf", "--wide", option, file], capture_output=True, text=True, check=True).stdout


def _needed(file: Path) -> list[str]:
    return re.findall(r"\(NEEDED\).*\[(\S+)\]", _readelf("-d", file))


def add(image: initramfs.Initramfs, machine: Machine, rules: Path) -> None:
    """systemd, and `rules` as the package of our programs installs them."""
    image.add_tree(tree(machine))
    image.add("lib/udev/rules.d/" + rules.name, rules.read_bytes(), 0o644)
