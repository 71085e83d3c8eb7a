"""Arm64 kernels of our own, from Debian's linux-source package: what no stock kernel of Debian has configured.

Built once (some minutes each) and kept in the cache by source version and configuration. Beside the image lies
the key whose certificate is compiled in: what is signed with it, the kernel accepts; and the sources of what breaks it
from within, for their lines. A kernel in the cache is complete.
"""
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import packages
from machines import ARM64
from packages import Skip

HERE = Path(__file__).resolve().parent / "own_kernel"
SOURCE = "linux-source-6.12"
# name -> files of own_kernel/ that make its configuration
KERNELS = {"own-4k-arm64": ["common.config", "4k.config"], "own-64k-arm64": ["common.config", "64k.config"]}
CERTIFICATE = """[req]
distinguished_name = name
prompt = no
x509_extensions = extensions
[name]
CN = kdumpkit test kernel
[extensions]
basicConstraints = critical,CA:FALSE
keyUsage = digitalSignature
extendedKeyUsage = codeSigning
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


class OwnKernel:
    """As packages.Kernel, and the key that its signatures are checked with."""
    machine = ARM64
    modules: list[Path] = []  # all that it needs is built in

    def __init__(self, directory: Path):
        self.image, self.vmlinux = directory / "Image", directory / "vmlinux"
        self.key, self.certificate = directory / "key.pem", directory / "certificate.pem"
        self.lkdtm = directory / "lkdtm"
        self.release = (directory / "release").read_text().strip()


def kernel(name: str, download: bool = False) -> OwnKernel:
    """The kernel of a KERNELS name. `download`: fetch the source and build it when the cache lacks it."""
    kept = packages.CACHE / "own-kernels"
    version = source_version()
    if version is None:  # no package index: whichever was built last
        built = sorted(kept.glob(f"{name}-*"), key=lambda path: path.stat().st_mtime)
        if not built:
            raise Skip(f"{name} is not built, and {SOURCE} is not in the package index: run scripts/deps")
        return OwnKernel(built[-1])
    files = [HERE / file for file in KERNELS[name]]
    key = hashlib.sha256("\0".join([version, CERTIFICATE, *(file.read_text() for file in files)]).encode())
    final = kept / f"{name}-{key.hexdigest()[:12]}"
    if not final.exists():
        if not download:
            raise Skip(f"{final.name} is not built: run scripts/deps")
        kept.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept, prefix=".partial-") as temp:
            build(name, files, Path(temp)).rename(final)
        for old in set(kept.glob(f"{name}-*")) - {final}:
            shutil.rmtree(old)
    return OwnKernel(final)


def source_version() -> str | None:
    """Of the source package; None without a package index."""
    shown = subprocess.run(["apt-cache", "policy", SOURCE], capture_output=True, text=True, check=False).stdout
    found = re.search(r"Candidate: (\d\S*)", shown)
    return found[1] if found else None


def build(name: str, files: list[Path], temp: Path) -> Path:
    print(f"building {name} from {SOURCE}; this takes some minutes", flush=True)
    tree, objects, ready = temp / "source", temp / "objects", temp / "ready"
    for directory in (tree, objects, ready, objects / "certs"):
        directory.mkdir(exist_ok=True)
    unpack_source(temp, tree)
    make_key(ready)
    shutil.copy(ready / "certificate.pem", objects / "certs" / "kdk.pem")
    answers = "".join(file.read_text() for file in files)
    (temp / "answers").write_text(answers)
    compiler = f"{ARM64.triplet}-gcc"
    if shutil.which("ccache"):
        compiler = f"ccache {compiler}"
    make = ["make", "-s", "-C", tree, f"O={objects}", "ARCH=arm64", f"CROSS_COMPILE={ARM64.triplet}-", f"CC={compiler}",
            f"-j{os.cpu_count()}"]
    environment = os.environ | {"KCONFIG_ALLCONFIG": str(temp / "answers"), "KBUILD_BUILD_TIMESTAMP": "2026-01-01",
                                "KBUILD_BUILD_USER": "kdumpkit", "KBUILD_BUILD_HOST": "kdumpkit"}
    log = temp / "log"
    for target in ["allnoconfig", "Image"]:
        with log.open("ab") as out:
            done = subprocess.run(["nice", *make, target], env=environment, stdout=out, stderr=out, check=False)
        if done.returncode:
            raise RuntimeError(f"building {name}: {target} failed: {log.read_text(errors='replace')[-2000:]}")
        if target == "allnoconfig":
            check_configuration(name, answers, (objects / ".config").read_text())
    release = subprocess.run([*make, "--no-print-directory", "kernelrelease"], env=environment, capture_output=True,
                             text=True, check=True).stdout
    (ready / "release").write_text(release)
    (objects / "arch" / "arm64" / "boot" / "Image").rename(ready / "Image")
    (objects / "vmlinux").rename(ready / "vmlinux")
    (objects / ".config").rename(ready / "config")
    (tree / "drivers" / "misc" / "lkdtm").rename(ready / "lkdtm")
    return ready


def unpack_source(temp: Path, tree: Path) -> None:
    def keep_archive(deb: Path, kept: Path) -> None:
        packages.extract(deb, kept, "./usr/src/linux-source-*.tar.xz")
        next(kept.glob("usr/src/*.tar.xz")).rename(kept / "source.tar.xz")
        shutil.rmtree(kept / "usr")
    package = temp / "package"
    packages.fetch(SOURCE, package, keep_archive)
    subprocess.run(["tar", "-x", "--strip-components=1", "-C", tree, "-f", package / "source.tar.xz"], check=True)
    shutil.rmtree(package)


def make_key(directory: Path) -> None:
    (directory / "certificate.conf").write_text(CERTIFICATE)
    subprocess.run(["openssl", "req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", "36500", "-config",
                    directory / "certificate.conf", "-keyout", directory / "key.pem", "-out", directory / "certificate.pem"],
                   capture_output=True, check=True)


def check_configuration(name: str, answers: str, configuration: str) -> None:
    """kconfig drops an answer whose dependencies are not met without a word."""
    configured = set(configuration.splitlines())
    lost = [line for line in answers.splitlines() if line.startswith("CONFIG_") and not line.endswith("=n")
            and line not in configured]
    if lost:
        raise RuntimeError(f"{name}: not configurable in this source: {' '.join(lost)}")
