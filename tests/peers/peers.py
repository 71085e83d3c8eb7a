"""What the comparisons with other programs share: inputs, the programs themselves, pages and their CRCs.

FULL_VMCORE=FILE and MAKEDUMPFILE=COMMAND stand in for the guest's vmcore and Debian's makedumpfile, by hand.
"""
import os
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import guest  # noqa: E402
import packages  # noqa: E402

# makedumpfile is built for one architecture of dumps: its own. So another one's runs under QEMU's user emulation, in a tree
# of its own with the libraries it needs.
MAKEDUMPFILE_PACKAGES = ["makedumpfile", "libc6", "libdw1", "libelf1", "liblzo2-2", "zlib1g", "libbz2-1.0", "liblzma5",
                         "libzstd1", "libgcc-s1"]


def skip(why):
    print("SKIP:", why)
    sys.exit(1 if os.environ.get("CI") == "true" else 77)


def run(*command, allowed=(0,), **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, errors="replace", **options)
    if done.returncode not in allowed:
        sys.exit(f"{command} failed with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def full_vmcore(config):
    """The whole /proc/vmcore of a guest of tests/e2e."""
    return Path(os.environ["FULL_VMCORE"]) if "FULL_VMCORE" in os.environ else guest_run(config) / "full.elf"


def machine_of(config):
    return guest.CONFIGS[config].machine


def guest_run(config):
    """The directory of a guest of tests/e2e."""
    found = subprocess.run([ROOT / "tests/e2e/guest.py", "get", config], capture_output=True, text=True)
    if found.returncode != 0:
        skip("no guest run: " + (found.stderr.strip().splitlines() or ["?"])[-1])
    return Path(found.stdout.strip().splitlines()[-1])


def emulator(machine):
    """What a program of this machine has to be run with, as a list; empty on a host like it."""
    host = run("dpkg", "--print-architecture").strip()
    if machine.debian == host:
        return []
    name = "qemu-" + machine.triplet.split("-")[0]
    qemu = shutil.which(name + "-static") or shutil.which(name)
    if not qemu:
        skip("qemu-user-static is not installed")
    return [qemu]


def makedumpfile(machine):
    """The command that runs makedumpfile for dumps of a machine, as a list: it reads those of its own architecture only."""
    if "MAKEDUMPFILE" in os.environ:
        return shlex.split(os.environ["MAKEDUMPFILE"])
    # glibc opens libgcc_s when the first thread ends, which fails in some of its runs with threads, emulated or not
    # ("libgcc_s.so.1 must be installed for pthread_exit to work"); a library that is loaded from the start is found.
    qemu = emulator(machine)
    if not qemu:
        return ["env", "LD_PRELOAD=libgcc_s.so.1", "makedumpfile"]
    # Named by what is in it: a list that has grown makes a new tree.
    tree = packages.CACHE / "peers" / f"makedumpfile-{machine.debian}-{zlib.crc32(repr(MAKEDUMPFILE_PACKAGES).encode()):08x}"
    if not tree.exists():
        unpack(MAKEDUMPFILE_PACKAGES, machine, tree)
    return [*qemu, "-E", "LD_PRELOAD=libgcc_s.so.1", "-L", str(tree), str(tree / "usr/bin/makedumpfile")]


def unpack(names, machine, tree):
    """Downloads a machine's packages and unpacks them under `tree`, which exists only when all are there."""
    tree.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=tree.parent, prefix=".partial-") as temp:
        got = subprocess.run(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=5",
                              *(f"{name}:{machine.debian}" for name in names)], cwd=temp, capture_output=True, text=True)
        if got.returncode != 0:
            skip(f"cannot download {names}: " + got.stderr.strip())
        for deb in Path(temp).glob("*.deb"):
            run("dpkg-deb", "-x", deb, Path(temp) / "tree")
        try:
            (Path(temp) / "tree").rename(tree)
        except OSError:
            if not tree.exists():  # else another test was faster
                raise


def features(command):
    """The compressions that this makedumpfile was built with: option -> name."""
    said = run(*command, "-v").split()
    enabled = {name for name, state in zip(said, said[1:]) if state == "enabled"}
    options = {"-c": "zlib", "-l": "lzo", "-p": "snappy", "-z": "zstd"}
    return {option: name for option, name in options.items() if name == "zlib" or name in enabled}


class Page:
    """What page_hash prints of one page frame."""

    def __init__(self, state, crc):
        self.state, self.crc = state, crc

    @property
    def present(self):
        return self.state == "present"


def our_pages(page_hash, *dumps):
    """PFN -> Page, as our readers see it; and the comment lines."""
    pages, remarks = {}, []
    for line in run(page_hash, *dumps).splitlines():
        if line.startswith("#"):
            remarks.append(line)
        else:
            pfn, state, crc = line.split()
            pages[int(pfn)] = Page(state, crc)
    return pages, remarks


def crc(data):
    return f"{zlib.crc32(data):08x}"


def elf_pages(path, page_size=4096):
    """PFN -> CRC of an unfiltered ELF vmcore with page-aligned segments, read without any of our code."""
    pages = {}
    with open(path, "rb") as file:
        header = file.read(64)
        offset, = struct.unpack_from("<Q", header, 32)
        count, = struct.unpack_from("<H", header, 56)
        file.seek(offset)
        headers = [struct.unpack("<IIQQQQQQ", file.read(56)) for _ in range(count)]
        for kind, _, start, _, physical, size, memory, _ in headers:
            if kind != 1:
                continue
            assert size == memory and physical % page_size == 0, "not an unfiltered vmcore"
            file.seek(start)
            for at in range(0, size, page_size):
                pages[(physical + at) // page_size] = crc(file.read(page_size))
    return pages


class Report:
    """Collects what is wrong; one line per check."""

    def __init__(self):
        self.failed = 0

    def check(self, name, wrong):
        """`wrong`: a list of what contradicts, empty when all is well."""
        wrong = list(wrong)
        print(f"{'FAIL' if wrong else 'ok  '} {name}" + (f": {len(wrong)} wrong, {wrong[:6]}" if wrong else ""), flush=True)
        self.failed += bool(wrong)

    def exit(self):
        sys.exit(1 if self.failed else 0)
