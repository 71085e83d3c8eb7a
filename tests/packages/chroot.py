"""A clean Debian in a directory, to install packages in. Made once by mmdebstrap and kept as a tar archive in
~/.cache/kdumpkit/chroots (KDUMPKIT_CACHE); what our packages depend on is in it, so that no network is needed later."""
import hashlib
import os
import re
import subprocess
import tempfile
from pathlib import Path

CACHE = Path(os.environ.get("KDUMPKIT_CACHE", Path.home() / ".cache" / "kdumpkit")) / "chroots"
SUITE = "bookworm"
# What a small cloud image has; the kernel is the newest of Debian 12's own. The guest of tests/e2e/debian_system.py boots it.
SYSTEM = ["systemd-sysv", "udev", "dbus", "kmod", "procps", "initramfs-tools", "zstd", "linux-image-cloud-amd64", "grub-pc"]
# What the clean chroot of packages-debian has besides, to make initramfs images with and of.
TOOLS = ["dracut-core", "openssh-client"]


class CannotMake(Exception):
    """There is none in the cache, and mmdebstrap could not make one."""


def sources() -> tuple[list[str], list[str]]:
    """Where this machine's apt gets Debian from: lines of sources.list, and the proxies on the way as mmdebstrap's options."""
    architecture = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()
    targets = subprocess.run(["apt-get", "indextargets", "--format", "$(IDENTIFIER) $(ARCHITECTURE) $(COMPONENT) $(REPO_URI) $(RELEASE)"],
                             capture_output=True, text=True, check=True).stdout.splitlines()
    lines = []
    for uri, suite in (line.split()[3:] for line in targets if line.startswith(f"Packages {architecture} main ")):
        if suite in (SUITE, SUITE + "-updates", SUITE + "-security"):
            lines.append(f"deb {uri} {suite} main")
    if not lines:
        raise CannotMake(f"apt on this machine has no source of {SUITE}")
    settings = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted(set(lines)), [f"--aptopt={line}" for line in settings if re.match(r"Acquire::\w+::Proxy", line, re.I)]


def archive(packages: list[str]) -> Path:
    """The archive with these packages besides the smallest Debian that has apt."""
    key = hashlib.sha256(" ".join([SUITE, *sorted(packages)]).encode()).hexdigest()[:12]
    final = CACHE / f"{SUITE}-{key}.tar"
    if final.exists():
        return final
    CACHE.mkdir(parents=True, exist_ok=True)
    lines, proxies = sources()
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=".partial-") as temp:
        done = subprocess.run(["mmdebstrap", "--variant=minbase", "--aptopt=APT::Install-Recommends \"false\"",
                               "--aptopt=Acquire::Retries \"5\"", *proxies, f"--include={','.join(packages)}", SUITE,
                               Path(temp, "root.tar"), *lines], capture_output=True, text=True)
        if done.returncode != 0:
            raise CannotMake(f"mmdebstrap: {done.stderr[-500:]}")
        Path(temp, "root.tar").rename(final)
    return final


def dependencies(deb: Path) -> set[str]:
    """The names in its field Depends."""
    text = subprocess.run(["dpkg-deb", "-f", deb, "Depends"], capture_output=True, text=True, check=True).stdout
    return {re.split(r"[ (|]", part.strip())[0] for part in text.split(",") if part.strip()}


def archive_for(debs: list[Path]) -> Path:
    """The archive with SYSTEM and what these packages depend on beside each other."""
    needed = set().union(*(dependencies(deb) for deb in debs)) - {deb.name.split("_")[0] for deb in debs}
    return archive([*SYSTEM, *TOOLS, *sorted(needed)])


class Chroot:
    """A fresh one, for these packages; the caller removes the directory."""

    def __init__(self, debs: list[Path], directory: Path):
        self.root = directory / "root"
        self.root.mkdir()
        subprocess.run(["tar", "-x", "--numeric-owner", "-C", self.root, "-f", archive_for(debs)], check=True)

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
