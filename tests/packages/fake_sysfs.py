"""As much of /sys, /proc and /dev as leads to one disk with a file system, for chroots that have none of their own."""
import os
from pathlib import Path


def make(root: Path, release: str) -> None:
    """Below `root`: a virtio disk vda with the partition vda1, ext4, mounted on /; the modules are the kernel's own."""
    pci = root / "sys/devices/pci0000:00/0000:00:03.0"
    part = pci / "virtio0/block/vda/vda1"
    part.mkdir(parents=True)
    (part / "dev").write_text("254:1\n")
    for device, driver in [(pci, "virtio_pci"), (pci / "virtio0", "virtio_blk")]:
        module = root / "sys/module" / driver
        module.mkdir(parents=True)
        home = root / "sys/bus/x/drivers" / driver
        home.mkdir(parents=True)
        (home / "module").symlink_to(relative(module, home))
        (device / "driver").symlink_to(relative(home, device))
    for directory, name in [("sys/dev/block", "254:1"), ("sys/class/block", "vda1")]:
        (root / directory).mkdir(parents=True)
        (root / directory / name).symlink_to(relative(part, root / directory))
    (root / "dev/disk/by-uuid").mkdir(parents=True)
    (root / "dev/vda1").touch()
    (root / "dev/disk/by-uuid/1234-abcd").symlink_to("../../vda1")
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/mountinfo").write_text("1 0 254:1 / / rw - ext4 /dev/vda1 rw\n")
    (root / "lib/modules").mkdir(parents=True)
    (root / "lib/modules" / release).symlink_to(f"/lib/modules/{release}")


def relative(target: Path, start: Path) -> Path:
    return Path(os.path.relpath(target, start))
