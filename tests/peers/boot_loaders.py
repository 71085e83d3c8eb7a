#!/usr/bin/python3
"""`kdump-load reserve --apply` and `--undo`, and what Debian's own boot tools then make of the files: update-grub,
kernel-install with systemd-boot's bootctl, u-boot-update. Each runs for real in a copy-on-write view of this machine,
in which it finds a kernel in /boot and a stand-in for grub-probe (there is no disk to probe).

usage: boot_loaders.py KDUMP_LOAD
"""
import os
import re
import subprocess
import sys
import unittest
from pathlib import Path

SKIP = 77
INSIDE = "KDK_INSIDE"
RELEASE = "6.12.0-1-arm64"
VALUE = "512M,high crashkernel=64M,low"
# Private to this process and gone with it. The upper layer is a file system of its own.
VIEW = r"""set -e
mount --make-rprivate /
mount -t tmpfs view "$1"
mkdir "$1/upper" "$1/work" "$1/tree"
mount -t overlay view -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/tree"
for name in proc sys dev; do mount --rbind /$name "$1/tree/$name"; done
mkdir -p "$1/tree/run/test"
cp "$2" "$1/tree/run/test/kdump-load"
cp "$3" "$1/tree/run/test/test.py"
exec chroot "$1/tree" /usr/bin/python3 /run/test/test.py /run/test/kdump-load
"""


def run(*command: str, code: int = 0) -> str:
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != code:
        raise AssertionError(f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def reserve(*options: str) -> str:
    return run(sys.argv[1], "reserve", *options)


def write(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


class BootLoaders(unittest.TestCase):
    def setUp(self):
        if INSIDE not in os.environ:
            self.fail("only inside the view of the machine")
        for path in ["/boot", "/efi", "/etc/default/grub", "/etc/default/grub.d", "/etc/default/u-boot", "/etc/u-boot-menu",
                     "/etc/kernel/cmdline", "/etc/kernel/install.conf", "/usr/lib/kernel/cmdline", "/var/lib/kdumpkit"]:
            run("rm", "-rf", path)
        # A file system of its own, as bootctl wants it.
        Path("/boot").mkdir()
        run("mount", "-t", "tmpfs", "boot", "/boot")
        self.addCleanup(run, "umount", "/boot")
        write(f"/boot/vmlinuz-{RELEASE}", "kernel")
        write(f"/boot/initrd.img-{RELEASE}", "initrd")

    def assert_lines(self, lines: list[str], value: str, count: int) -> None:
        """`count` command lines, each with the reservation once and nothing else of the kind."""
        self.assertEqual(count, len(lines), lines)
        for line in lines:
            self.assertEqual([f"crashkernel={word}" for word in value.split(" crashkernel=")] if value else [],
                             re.findall(r"crashkernel=\S+", line))

    def grub_lines(self) -> list[str]:
        """Of the ordinary entries; GRUB's recovery entries do not take GRUB_CMDLINE_LINUX_DEFAULT."""
        lines = re.findall(r"^\s*linux\s.*$", Path("/boot/grub/grub.cfg").read_text(), re.MULTILINE)
        return [line for line in lines if " single" not in line]

    def test_grub(self):
        write("/usr/sbin/grub-probe", """#!/bin/sh
case $* in
*target=device*) echo /dev/vda1 ;;
*target=fs_uuid*) echo 11111111-2222-3333-4444-555555555555 ;;
*target=fs*) echo ext2 ;;
*target=partmap*) echo gpt ;;
*target=hints*) echo --hint=hd0,gpt1 ;;
*target=compatibility_hint*) echo hd0,gpt1 ;;
*target=abstraction*) ;;
*) echo hd0,gpt1 ;;
esac
""")
        os.chmod("/usr/sbin/grub-probe", 0o755)
        write("/etc/default/grub", 'GRUB_CMDLINE_LINUX_DEFAULT="quiet crashkernel=64M"\nGRUB_CMDLINE_LINUX="rw"\n')
        write("/etc/default/grub.d/kdump-tools.cfg",
              'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT crashkernel=2G-4G:320M,4G-:512M"\n')
        Path("/boot/grub").mkdir()
        run("update-grub")
        before = Path("/boot/grub/grub.cfg").read_text()
        self.assertIn("crashkernel=64M crashkernel=2G-4G:320M,4G-:512M", before)
        shown = reserve("--apply", VALUE, "--yes", "--run")
        self.assertIn("+GRUB_CMDLINE_LINUX_DEFAULT", shown)
        lines = self.grub_lines()
        self.assertGreaterEqual(len(lines), 2)
        self.assert_lines(lines, VALUE, len(lines))
        self.assertTrue(all(" rw quiet " in line for line in lines), lines)
        reserve("--undo", "--yes", "--run")
        self.assertEqual(before, Path("/boot/grub/grub.cfg").read_text())

    def test_entries(self):
        write("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
        write("/etc/kernel/install.conf", "layout=bls\n")
        write("/etc/kernel/entry-token", "debian\n")
        write("/etc/kernel/cmdline", "root=UUID=1 crashkernel=64M\nro\n")
        Path("/boot/debian").mkdir()
        Path("/boot/loader/entries").mkdir(parents=True)
        run("kernel-install", "add", RELEASE, f"/boot/vmlinuz-{RELEASE}")
        self.assert_lines(self.entry_lines(), "64M", 1)
        reserve("--apply", VALUE, "--yes")
        self.assert_lines(self.entry_lines(), VALUE, 1)
        # A kernel that is installed later.
        run("kernel-install", "add", "6.13.0-1-arm64", f"/boot/vmlinuz-{RELEASE}")
        lines = self.entry_lines()
        self.assert_lines(lines, VALUE, 2)
        self.assertTrue(all(line.startswith("root=UUID=1 ro ") for line in lines), lines)

    def entry_lines(self) -> list[str]:
        """The command lines as systemd's own reader of entries has them."""
        os.environ["SYSTEMD_RELAX_ESP_CHECKS"] = "1"
        os.environ["SYSTEMD_RELAX_XBOOTLDR_CHECKS"] = "1"
        listed = run("bootctl", "--esp-path=/boot", "--no-pager", "list")
        return re.findall(r"^\s*options: (.*)$", listed, re.MULTILINE)

    def extlinux_lines(self) -> list[str]:
        text = Path("/boot/extlinux/extlinux.conf").read_text()
        return re.findall(r"^\s*append (.*)$", text, re.MULTILINE)

    def check_extlinux(self, expected: str) -> None:
        run("u-boot-update")
        reserve("--apply", VALUE, "--yes")
        # Now, and after the next kernel's installation.
        for _ in range(2):
            lines = self.extlinux_lines()
            self.assert_lines(lines, VALUE, 2)  # u-boot-update's recovery entry among them
            self.assertIn(expected, re.sub(r"\s+", " ", lines[0]))
            run("u-boot-update")

    def test_u_boot_with_nothing_set(self):
        write("/etc/default/u-boot", '#U_BOOT_PARAMETERS="ro quiet"\nU_BOOT_ROOT="root=/dev/vda1"\n')
        self.check_extlinux("root=/dev/vda1 ro quiet crashkernel=")

    def test_u_boot_with_parameters(self):
        write("/etc/default/u-boot", 'U_BOOT_PARAMETERS="rw crashkernel=64M splash"\nU_BOOT_ROOT="root=/dev/vda1"\n')
        self.check_extlinux("root=/dev/vda1 rw splash crashkernel=")

    def test_u_boot_with_a_drop_in(self):
        write("/etc/default/u-boot", 'U_BOOT_PARAMETERS="rw crashkernel=64M"\nU_BOOT_ROOT="root=/dev/vda1"\n')
        write("/etc/u-boot-menu/conf.d/a.conf", 'U_BOOT_PARAMETERS="ro crashkernel=128M"\n')
        self.check_extlinux("root=/dev/vda1 ro crashkernel=")

    def test_u_boot_with_kernel_install_s_line(self):
        write("/etc/default/u-boot", 'U_BOOT_ROOT="root=/dev/vda1"\n')
        write("/etc/kernel/cmdline", "root=UUID=1 ro audit=0\n")
        self.check_extlinux("root=/dev/vda1 ro audit=0 crashkernel=")


def outside() -> int:
    for tool in ["update-grub", "kernel-install", "bootctl", "u-boot-update", "unshare"]:
        if subprocess.run(["which", tool], stdout=subprocess.DEVNULL, check=False).returncode:
            print(f"SKIP: {tool} is not installed: run scripts/deps")
            return SKIP
    if os.geteuid() != 0:
        print("SKIP: needs root, for a mount namespace")
        return SKIP
    place = Path("/tmp", f"kdk-boot-loaders-{os.getpid()}")
    place.mkdir()
    try:
        done = subprocess.run(["unshare", "--mount", "sh", "-c", VIEW, "sh", place, sys.argv[1], Path(__file__).resolve()],
                              env=os.environ | {INSIDE: "1", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, check=False)
        return done.returncode
    finally:
        place.rmdir()


if __name__ == "__main__":
    if INSIDE not in os.environ:
        sys.exit(outside())
    unittest.main(argv=sys.argv[:1])
