#!/usr/bin/python3
"""Records machines for machines_test.py: boots guests and keeps what kdump-load reads of them, and what Debian's kexec(8)
says when it loads a crash kernel there. Needed only to add a machine or to record all again.

  record.py --load PROGRAM --capture PROGRAM [NAME...]    static programs of the guests' architecture

NAME/root is the machine for --sysroot, NAME/kexec.txt the output of kexec -p -d.
"""
import argparse
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "e2e"))
import guest  # noqa: E402
import packages  # noqa: E402

ARM64_EFI = "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd"
MACHINES = {
    "arm64-6.1": guest.Config("6.1-cloud-arm64", "cortex-a57"),
    "arm64-6.12": guest.Config("6.12-cloud-arm64", "cortex-a57"),
    "arm64-6.12-16k": guest.Config("6.12-16k-arm64", guest.ARM64_MAX, memory=1536),
    # EDK2 with ACPI: a device tree of /chosen alone.
    "arm64-6.12-acpi": guest.Config("6.12-cloud-arm64", "cortex-a57", firmware=ARM64_EFI),
    # A low and a high region, eight CPUs.
    "arm64-6.12-high": guest.Config("6.12-cloud-arm64", "cortex-a57", memory=6144, smp="8", crashkernel="256M,high"),
    "amd64-6.12": guest.Config("6.12-cloud-amd64", "max"),
    # Two of four CPUs present, a low and a high region, EFI.
    "amd64-6.12-efi-high": guest.Config("6.12-cloud-amd64", "qemu64", memory=6144, smp="2,maxcpus=4",
                                        crashkernel="256M,high", firmware="/usr/share/ovmf/OVMF.fd"),
}
KEXEC = ["kexec-tools", "libc6", "zlib1g", "libxenmisc4.17", "libxencall1", "libxendevicemodel1", "libxenevtchn1",
         "libxenforeignmemory1", "libxengnttab1", "libxentoolcore1", "libxentoollog1"]


def kexec_overlay(machine, into: Path) -> None:
    """kexec(8) and the libraries it is linked with."""
    def unpack(deb: Path, tree: Path) -> None:
        subprocess.run(["dpkg-deb", "-x", deb, tree], check=True)
    (into / "lib").mkdir(parents=True)
    for package in KEXEC:
        tree = packages.provide(package, unpack, True, machine)
        for library in tree.rglob("*.so*"):
            if library.is_file() and "gconv" not in library.parts:
                shutil.copyfile(library.resolve(), into / "lib" / library.name)
        if package == "kexec-tools":
            (into / "bin").mkdir()
            shutil.copy(tree / "sbin/kexec", into / "bin/kexec")
    for loader in (into / "lib").glob("ld-linux*"):
        loader.chmod(0o755)
        if loader.name == "ld-linux-x86-64.so.2":
            (into / "lib64").mkdir()
            shutil.copy(loader, into / "lib64" / loader.name)


def cut_after_notes(kcore: Path) -> None:
    """Behind its headers and notes /proc/kcore is the machine's memory."""
    data = kcore.read_bytes()
    table, size, count = *struct.unpack_from("<Q", data, 32), *struct.unpack_from("<HH", data, 54)
    end = table + size * count
    for at in range(table, end, size):
        kind, _, offset, _, _, length = struct.unpack_from("<IIQQQQ", data, at)
        if kind == 4:  # PT_NOTE
            end = max(end, offset + length)
    if end > len(data):
        raise RuntimeError(f"{kcore}: the notes end at {end}, only {len(data)} bytes were read")
    kcore.write_bytes(data[:end])


def record(name: str, load: Path, capture: Path) -> None:
    config = guest.dataclasses.replace(MACHINES[name], production="record.sh")
    with tempfile.TemporaryDirectory() as temp:
        overlay, out = Path(temp, "overlay"), Path(temp, "out")
        kexec_overlay(config.machine, overlay)
        guest.run(config, guest.Programs(config.machine, load, capture, overlay), out)
        final = HERE / name
        for old in [final / "root", final / "kexec.txt"]:
            shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
        (final / "root").mkdir(parents=True)
        subprocess.run(["tar", "-x", "-C", final / "root", "-f", out / "machine.tar", "--no-same-permissions"], check=True)
        cut_after_notes(final / "root/proc/kcore")
        fdt = final / "root/sys/firmware/fdt"
        if fdt.exists():  # QEMU's is 1 MiB, nearly all of it room to grow
            subprocess.run(["dtc", "-q", "-I", "dtb", "-O", "dtb", "-o", fdt, fdt], check=True)
        kexec = (out / "kexec.stdout").read_text(errors="replace") + (out / "kexec.stderr").read_text(errors="replace")
        lines = [line for line in kexec.splitlines(True) if not line.startswith(("sym:", "machine_apply_elf_rel:"))]
        (final / "kexec.txt").write_text("".join(lines))
        print(f"{name}: kexec ended with {(out / 'kexec.rc').read_text().strip()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--load", type=Path, required=True)
    parser.add_argument("--capture", type=Path, required=True)
    parser.add_argument("names", nargs="*", default=list(MACHINES), metavar="NAME")
    arguments = parser.parse_args()
    for name in arguments.names:
        record(name, arguments.load, arguments.capture)


if __name__ == "__main__":
    main()
