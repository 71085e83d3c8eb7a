"""An EFI zboot image of a stock arm64 kernel, made by Linux' own build (drivers/firmware/efi/libstub/Makefile.zboot) out of
Debian's vmlinux: Debian ships none. Built once (a minute) and kept in the cache by source version and kernel.
"""
import os
import subprocess
import tempfile
from pathlib import Path

import own_kernel
import packages
from machines import ARM64
from packages import Skip

KERNEL = "6.12-cloud-arm64"  # the one that test_kernel_files.py is about
ANSWERS = "CONFIG_EFI=y\nCONFIG_EFI_STUB=y\nCONFIG_EFI_ZBOOT=y\nCONFIG_RELOCATABLE=y\n"


def vmlinuz(kernel: packages.Kernel, download: bool = False) -> Path:
    """The vmlinuz.efi of a stock kernel. `download`: fetch the source and build it when the cache lacks it."""
    version = own_kernel.source_version()
    kept = packages.CACHE / "own-zboot"
    found = kept / f"{kernel.release}-{version}" if version else next(kept.glob(f"{kernel.release}-*"), None)
    if found and found.exists():
        return found
    if not found or not download:
        raise Skip(f"the zboot image of {kernel.release} is not built: run scripts/deps")
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept, prefix=".partial-") as temp:
        build(kernel, Path(temp)).rename(found)
    return found


def build(kernel: packages.Kernel, temp: Path) -> Path:
    """Everything but the kernel itself: `make -o vmlinux` takes Debian's for one that was built here."""
    print(f"building the zboot image of {kernel.release} from {own_kernel.SOURCE}", flush=True)
    tree, objects = temp / "source", temp / "objects"
    tree.mkdir()
    objects.mkdir()
    own_kernel.unpack_source(temp, tree)
    (temp / "answers").write_text(ANSWERS)
    command = ["nice", "make", "-rR", "-s", "--no-print-directory", f"--include-dir={tree}", "-f", tree / "Makefile", "ARCH=arm64",
               f"CROSS_COMPILE={ARM64.triplet}-"]
    # What the outer one of the two makes of a build in another directory tells the inner one, which alone knows -o.
    environment = os.environ | {"KCONFIG_ALLCONFIG": str(temp / "answers"), "sub_make_done": "1", "abs_srctree": str(tree),
                                "abs_objtree": str(objects)}
    for target in ["allnoconfig", "prepare", "drivers/firmware/efi/libstub/lib.a", "vmlinuz.efi"]:
        if target == "vmlinuz.efi":
            os.symlink(kernel.vmlinux, objects / "vmlinux")
        done = subprocess.run([*command, "-o", "vmlinux", target], cwd=objects, env=environment, capture_output=True, text=True,
                              errors="replace", check=False)
        if done.returncode:
            raise RuntimeError(f"building the zboot image: {target} failed: {done.stderr[-2000:]}")
    return objects / "arch" / "arm64" / "boot" / "vmlinuz.efi"
