"""Stock Debian kernels (and busybox) for the guests: downloaded by package name, kept in the cache.

Nothing is pinned: the newest matching package in the package index is taken, so a point release moves the tests on.
What is kept of a package is only what a guest needs: the image, the modules that reach the disk (decompressed, in
load order) and, from the -dbg package, vmlinux; and all that a module is built with, see module.py. A directory in the cache is complete once it has its final name.
"""
import functools
import lzma
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from machines import ARM64, X86_64, Machine

CACHE = Path(os.environ.get("KDUMPKIT_CACHE", Path.home() / ".cache" / "kdumpkit"))
STORE = CACHE / "packages"

# name -> machine, package pattern. The flavours differ in page size; -cloud kernels have the least modules.
KERNELS = {
    "6.1-cloud-arm64": (ARM64, r"linux-image-6\.1\.0-\d+-cloud-arm64"),
    "6.12-cloud-arm64": (ARM64, r"linux-image-6\.12\.\d+\+deb12-cloud-arm64"),
    "6.12-16k-arm64": (ARM64, r"linux-image-6\.12\.\d+\+deb12-arm64-16k"),
    "6.1-cloud-amd64": (X86_64, r"linux-image-6\.1\.0-\d+-cloud-amd64"),
    "6.12-cloud-amd64": (X86_64, r"linux-image-6\.12\.\d+\+deb12-cloud-amd64"),
}
# Those that a guest installs, as an upgrade of its own.
UPGRADES = {"amd64": "6.12-cloud-amd64", "arm64": "6.12-cloud-arm64"}
# The way to an ext4 disk in QEMU. What a kernel has built in is simply not among its modules. (ext4 asks the crypto layer
# for crc32c by name, which its .modinfo does not say.) qemu_fw_cfg tells QEMU where the VMCOREINFO is, see dump.sh.
MODULES = ["virtio_pci", "virtio_blk", "crc32c_generic", "ext4", "qemu_fw_cfg"]


class Skip(Exception):
    """Something the machine lacks, so the test cannot run here."""


class Kernel:
    """One unpacked kernel. `modules` are files in load order; `vmlinux` has DWARF."""

    def __init__(self, machine: Machine, package: str):
        self.machine = machine
        self.package = package
        self.release = package.removeprefix("linux-image-")
        self.image = STORE / package / "Image"
        self.vmlinux = STORE / (package + "-dbg") / ("vmlinux-" + self.release)

    @property
    def modules(self) -> list[Path]:
        return sorted((self.image.parent / "modules").glob("*.ko"))


@functools.cache
def _index() -> list[str]:
    names = subprocess.run(["apt-cache", "pkgnames", "linux-image-6."], capture_output=True, text=True, check=False)
    return names.stdout.split()


def newest_package(name: str) -> str:
    """The newest package of the index for a KERNELS name. Without an index entry, the newest one in the cache."""
    pattern = re.compile(KERNELS[name][1])
    cached = [directory.name for directory in STORE.glob("*")]
    found = [p for p in _index() if pattern.fullmatch(p)] or [p for p in cached if pattern.fullmatch(p)]
    if not found:
        raise Skip(f"no package matches {pattern.pattern}: run scripts/deps")
    return max(found, key=lambda package: [int(n) for n in re.findall(r"\d+", package)])


def kernel(name: str, download: bool = False) -> Kernel:
    """The kernel of a KERNELS name. Skip when the cache lacks it and it must not or cannot be downloaded."""
    machine, _ = KERNELS[name]
    result = Kernel(machine, newest_package(name))
    provide(result.package, _unpack_image, download, machine)
    provide(result.package + "-dbg", _unpack_vmlinux, download, machine)
    return result


def further_modules(kernel_: Kernel, names: list[str], download: bool = False) -> list[Path]:
    """These modules and what they need, in load order, behind `modules`."""
    def unpack(deb: Path, tree: Path) -> None:
        extract(deb, tree, "./lib/modules/*")
        _unpack_modules(tree, names)
        shutil.rmtree(tree / "lib")
    tree = STORE / "-".join([kernel_.package, *names])
    if not tree.exists():
        if not download:
            raise Skip(f"{', '.join(names)} of {kernel_.package} are not in {CACHE}: run scripts/deps")
        fetch(f"{kernel_.package}:{kernel_.machine.debian}", tree, unpack)
    return sorted((tree / "modules").glob("*.ko"))


def package_file(name: str, download: bool = False) -> Path:
    """The package of a KERNELS name itself, for a guest to install."""
    machine, package = KERNELS[name][0], newest_package(name)
    tree = STORE / (package + "-package")
    if not tree.exists():
        if not download:
            raise Skip(f"the package {package} is not in {CACHE}: run scripts/deps")
        fetch(f"{package}:{machine.debian}", tree, lambda deb, to: deb.rename(to / deb.name))
    return next(tree.glob("*.deb"))


def configuration(kernel_: Kernel, download: bool = False) -> Path:
    """What a kernel was built with: its /boot/config-RELEASE."""
    tree = STORE / (kernel_.package + "-config")
    if not tree.exists():
        if not download:
            raise Skip(f"the configuration of {kernel_.package} is not in {CACHE}: run scripts/deps")
        fetch(f"{kernel_.package}:{kernel_.machine.debian}", tree, lambda deb, to: extract(deb, to, "./boot/config-*"))
    return next(tree.glob("boot/config-*"))


def busybox(machine: Machine, download: bool = False) -> Path:
    """A static busybox: the guest's shell and tools. (It cannot be installed beside the host's own.)"""
    tree = provide("busybox-static", lambda deb, tree: extract(deb, tree, "./bin/busybox"), download, machine)
    return tree / "bin" / "busybox"


def provide(package: str, unpack, download: bool, machine: Machine | None = None) -> Path:
    """The cache's tree for a package, of a machine or of the host; `unpack` fills it after a download."""
    name = f"{package}:{machine.debian}" if machine else package
    # Most packages have the architecture in their name.
    tree = STORE / (package if not machine or machine.debian in package else f"{package}-{machine.debian}")
    if not tree.exists():
        if not download:
            raise Skip(f"{name} is not in {CACHE}: run scripts/deps")
        fetch(name, tree, unpack)
    return tree


def fetch(name: str, final: Path, unpack) -> None:
    """Downloads one package and unpacks it into the cache; the rename at the end is what makes it count."""
    STORE.mkdir(parents=True, exist_ok=True)
    print(f"downloading {name}", flush=True)
    with tempfile.TemporaryDirectory(dir=STORE, prefix=".partial-") as temp:
        download, tree = Path(temp, "deb"), Path(temp, "tree")
        download.mkdir()
        tree.mkdir()
        for attempt in range(3):
            got = subprocess.run(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", name],
                                 cwd=download, capture_output=True, text=True, check=False)
            if got.returncode == 0:
                break
            time.sleep(5 * attempt)
        else:
            raise Skip(f"cannot download {name}: {got.stderr.strip()}")
        unpack(next(download.glob("*.deb")), tree)
        tree.rename(final)


def extract(deb: Path, tree: Path, *patterns: str) -> None:
    data = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x", "-C", tree, "--wildcards", *patterns], stdin=data.stdout, check=True)
    # tar stops at the archive's end marker; the padding behind it must be read or dpkg-deb dies of SIGPIPE.
    data.stdout.read()
    if data.wait() != 0:
        raise RuntimeError(f"dpkg-deb cannot unpack {deb}")


def _unpack_vmlinux(deb: Path, tree: Path) -> None:
    extract(deb, tree, "./usr/lib/debug/boot/vmlinux-*")
    vmlinux = next(tree.glob("usr/lib/debug/boot/vmlinux-*"))
    vmlinux.rename(tree / vmlinux.name)
    shutil.rmtree(tree / "usr")


def _unpack_image(deb: Path, tree: Path) -> None:
    extract(deb, tree, "./boot/vmlinuz-*", "./lib/modules/*")
    next(tree.glob("boot/vmlinuz-*")).rename(tree / "Image")
    _unpack_modules(tree, MODULES)
    shutil.rmtree(tree / "lib")
    shutil.rmtree(tree / "boot")


def _unpack_modules(tree: Path, names: list[str]) -> None:
    available = {path.name.split(".ko")[0]: path for path in tree.glob("lib/modules/*/kernel/**/*.ko*")}
    order: dict[str, bytes] = {}
    for name in names:
        _add_module(name, available, order)
    (tree / "modules").mkdir()
    for number, (name, content) in enumerate(order.items()):
        (tree / "modules" / f"{number:02}-{name}.ko").write_bytes(content)


def _add_module(name: str, available: dict[str, Path], order: dict[str, bytes]) -> None:
    """Appends a module after the modules it depends on (its .modinfo says which)."""
    path = available.get(name)
    if path is None or name in order:
        return
    content = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
    depends = re.search(rb"(?<=\0)depends=([^\0]*)\0", content)
    for needed in depends.group(1).decode().split(",") if depends else []:
        _add_module(needed, available, order)
    order[name] = content
