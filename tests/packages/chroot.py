"""A clean Debian in a directory, to install packages in. Made once by mmdebstrap and kept as a tar archive in
~/.cache/kdumpkit/chroots (KDUMPKIT_CACHE); what our packages depend on is in it, so that no network is needed later."""
import contextlib
import fcntl
import hashlib
import os
import re
import subprocess
import tempfile
from pathlib import Path

CACHE = Path(os.environ.get("KDUMPKIT_CACHE", Path.home() / ".cache" / "kdumpkit")) / "chroots"
SUITE = "bookworm"
# What a small cloud image has; the kernel is the newest of Debian 12's own. The guest of tests/e2e/debian_system.py boots it.
COMMON = ["systemd-sysv", "udev", "dbus", "kmod", "procps", "initramfs-tools", "zstd"]
SYSTEMS = {"amd64": [*COMMON, "linux-image-cloud-amd64", "grub-pc"], "arm64": [*COMMON, "linux-image-cloud-arm64", "grub-efi-arm64"]}
SYSTEM = SYSTEMS["amd64"]
# What the clean chroot of packages-debian has besides, to make initramfs images with and of.
TOOLS = ["dracut-core", "openssh-client"]


# In an emulated one initramfs-tools takes a quarter of an hour to look at every module. What the first boot needs is enough; each
# initramfs that the guest makes is as ever.
FIRST_MODULES = "virtio_pci virtio_blk ext4 crc32c_generic"
FEW_MODULES = ["--essential-hook=mkdir -p $1/etc/initramfs-tools/conf.d $1/usr/share/initramfs-tools/modules.d",
               "--essential-hook=echo MODULES=list >$1/etc/initramfs-tools/conf.d/first",
               f"--essential-hook=printf '%s\\n' {FIRST_MODULES} >$1/usr/share/initramfs-tools/modules.d/first",
               "--customize-hook=rm $1/etc/initramfs-tools/conf.d/first $1/usr/share/initramfs-tools/modules.d/first"]


class CannotMake(Exception):
    """There is none in the cache, and mmdebstrap could not make one."""


def host() -> str:
    """This machine's architecture."""
    return subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()


def sources(architecture: str) -> tuple[list[str], list[str]]:
    """Where this machine's apt gets Debian from: lines of sources.list, and the proxies on the way as mmdebstrap's options."""
    targets = subprocess.run(["apt-get", "indextargets", "--format", "$(IDENTIFIER) $(ARCHITECTURE) $(COMPONENT) $(REPO_URI) $(RELEASE)"],
                             capture_output=True, text=True, check=True).stdout.splitlines()
    lines = []
    for uri, suite in (line.split()[3:] for line in targets if line.startswith(f"Packages {architecture} main ")):
        if suite in (SUITE, SUITE + "-updates", SUITE + "-security"):
            lines.append(f"deb {uri} {suite} main")
    if not lines:
        raise CannotMake(f"apt on this machine has no source of {SUITE} for {architecture}")
    settings = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted(set(lines)), [f"--aptopt={line}" for line in settings if re.match(r"Acquire::\w+::Proxy", line, re.I)]


@contextlib.contextmanager
def foreign_programs(architecture: str):
    """Programs of this architecture run here: by qemu-user-static, which the kernel is told of where nobody has told it, and only
    for that long. (systemd-binfmt.service does that at boot; in a container nobody does.)"""
    if architecture == host():
        yield
        return
    registry = Path("/proc/sys/fs/binfmt_misc")
    name = {"arm64": "qemu-aarch64", "amd64": "qemu-x86_64"}[architecture]
    CACHE.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as undo:
        # Nobody takes it back while another one needs it.
        fcntl.flock(undo.enter_context((CACHE / ".lock-programs").open("w")), fcntl.LOCK_EX)
        try:
            if not (registry / "register").exists():
                subprocess.run(["mount", "-t", "binfmt_misc", "none", registry], check=True, capture_output=True)
                undo.callback(subprocess.run, ["umount", registry], check=True)
            if not (registry / name).exists():
                (registry / "register").write_text(Path(f"/usr/lib/binfmt.d/{name}.conf").read_text())
                undo.callback((registry / name).write_text, "-1")
        except (OSError, subprocess.CalledProcessError) as problem:
            raise CannotMake(f"programs for {architecture} cannot be run on this machine: {problem}") from problem
        yield


def archive(packages: list[str], architecture: str = "amd64") -> Path:
    """The archive with these packages besides the smallest Debian that has apt."""
    key = hashlib.sha256(" ".join([SUITE, *sorted(packages)]).encode()).hexdigest()[:12]
    final = CACHE / (f"{SUITE}-{key}.tar" if architecture == "amd64" else f"{SUITE}-{architecture}-{key}.tar")
    if final.exists():
        return final
    CACHE.mkdir(parents=True, exist_ok=True)
    lines, proxies = sources(architecture)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=".partial-") as temp, foreign_programs(architecture):
        done = subprocess.run(["mmdebstrap", "--variant=minbase", f"--architectures={architecture}",
                               "--aptopt=APT::Install-Recommends \"false\"", "--aptopt=Acquire::Retries \"5\"", *proxies,
                               *([] if architecture == host() else FEW_MODULES),
                               f"--include={','.join(packages)}", SUITE, Path(temp, "root.tar"), *lines],
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise CannotMake(f"mmdebstrap: {done.stderr[-500:]}")
        Path(temp, "root.tar").rename(final)
    return final


def dependencies(deb: Path) -> set[str]:
    """The names in its field Depends."""
    text = subprocess.run(["dpkg-deb", "-f", deb, "Depends"], capture_output=True, text=True, check=True).stdout
    return {re.split(r"[ (|]", part.strip())[0] for part in text.split(",") if part.strip()}


def archive_for(debs: list[Path], architecture: str = "amd64") -> Path:
    """The archive with SYSTEMS' and what these packages depend on beside each other."""
    needed = set().union(*(dependencies(deb) for deb in debs)) - {deb.name.split("_")[0] for deb in debs}
    return archive([*SYSTEMS[architecture], *TOOLS, *sorted(needed)], architecture)


class Chroot:
    """A fresh one, for these packages; the caller removes the directory."""

    def __init__(self, debs: list[Path], directory: Path):
        self.root = directory / "root"
        self.root.mkdir()
        subprocess.run(["tar", "-x", "--numeric-owner", "-C", self.root, "-f", archive_for(debs, host())], check=True)

    def run(self, *command, expect: int | None = 0) -> str:
        """stdout and stderr of a command inside."""
        done = subprocess.run(["chroot", self.root, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, text=True,
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"})
        if expect is not None and done.returncode != expect:
            raise AssertionError(f"{command}: exit code {done.returncode}\n{done.stdout}")
        return done.stdout

    def files(self) -> set[str]:
        """Everything but what apt, dpkg and the loader's cache remember."""
        ours = set()
        for directory, names, files in os.walk(self.root):
            inside = "/" + os.path.relpath(directory, self.root)
            if inside in ("/var/lib/dpkg", "/var/lib/apt", "/var/cache", "/var/log", "/proc", "/sys", "/dev", "/tmp"):
                names.clear()
                continue
            ours.update(os.path.join(inside, name) for name in [*names, *files])
        return ours
