"""Builds our modules (module/, planted/) for a guest's kernel, with the headers that Debian made when it built that very kernel."""
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import packages

HERE = Path(__file__).resolve().parent


def kdk_crash(kernel: packages.Kernel) -> Path:
    """kdk_crash.ko, with debugging information; from the cache when it is there."""
    return _build(HERE / "module", "kdk_crash.ko", kernel)


def kdk_plant(kernel: packages.Kernel) -> Path:
    """The same of kdk_plant.ko."""
    return _build(HERE / "planted", "kdk_plant.ko", kernel)


def _build(source: Path, name: str, kernel: packages.Kernel) -> Path:
    sources = sorted(source.iterdir())
    key = hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()[:12]
    final = packages.CACHE / "modules" / f"{kernel.release}-{key}"
    if final.exists():
        return final / name
    final.parent.mkdir(parents=True, exist_ok=True)
    tool = kernel.machine.triplet + "-"
    with tempfile.TemporaryDirectory(dir=final.parent, prefix=".partial-") as temp:
        for file in sources:
            shutil.copy(file, temp)
        # The same paths in the debugging information and in BUG()'s message wherever it is built.
        flags = f"-ffile-prefix-map={temp}/= -fmacro-prefix-map={temp}/="
        subprocess.run(["make", "-C", headers(kernel), f"M={temp}", f"CROSS_COMPILE={tool}", f"CC={tool}gcc", f"KCFLAGS={flags}",
                        "modules"], stdout=subprocess.DEVNULL, check=True)
        ready = Path(temp, "ready")
        ready.mkdir()
        Path(temp, name).rename(ready / name)
        try:
            ready.rename(final)
        except OSError:
            if not final.exists():  # else another test was faster
                raise
    return final / name


def headers(kernel: packages.Kernel, download: bool = False) -> Path:
    """The directory to run the kernel's make in."""
    top = packages.provide(f"linux-headers-{kernel.release}", lambda deb, tree: _unpack(deb, tree), download, kernel.machine)
    return top / "usr" / "src" / f"linux-headers-{kernel.release}"


def _unpack(deb: Path, tree: Path) -> None:
    """The kernel's own headers, those common to its flavours, and the build programs (which run on this host)."""
    depends = subprocess.run(["dpkg-deb", "-f", deb, "Depends"], capture_output=True, text=True, check=True).stdout
    needed = re.findall(r"linux-(?:headers|kbuild)-[^\s,(]+", depends)
    for name in needed:
        subprocess.run(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", name], cwd=deb.parent, check=True)
    for package in deb.parent.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, tree], check=True)
    for makefile in tree.glob("usr/src/linux-headers-*/Makefile"):
        text = makefile.read_text()
        if text.startswith("include /usr/src/"):
            makefile.write_text(text.replace("include /usr/src/", "include ../", 1))
    # With it the build would add BTF to the module, for which it needs pahole.
    for vmlinux in tree.glob("usr/src/linux-headers-*/vmlinux"):
        os.unlink(vmlinux)
