"""Files that kdump-load must refuse, for the guest of test_bad_cases.py."""
import shutil
import subprocess
from pathlib import Path

import initramfs
import kernels
import packed_kernels

NO_MEMORY = """/dts-v1/;
/ {
  #address-cells = <2>;
  #size-cells = <2>;
  chosen { };
  psci { compatible = "arm,psci-1.0"; method = "hvc"; };
};
"""


def make(directory: Path, image: Path) -> None:
    """Puts them into `directory`; `image` is the kernel that the guest runs."""
    whole = image.read_bytes()
    (directory / "cut.Image").write_bytes(whole[:3 << 20])
    (directory / "cut.zboot").write_bytes(packed_kernels.kernel_files.zboot(whole, "gzip", quick=True)[:-(1 << 20)])
    shutil.copyfile(kernels.kernel("6.12-cloud-amd64").image, directory / "amd64.Image")
    shutil.copyfile(kernels.kernel("6.12-16k-arm64").image, directory / "16k.Image")
    subprocess.run(["dtc", "-q", "-I", "dts", "-O", "dtb", "-o", directory / "no-memory.dtb", "-"], input=NO_MEMORY, text=True,
                   check=True)
    huge = initramfs.Initramfs()
    huge.add("filler", bytes(160 << 20))  # packed small, unpacked more than fits
    (directory / "huge.initrd").write_bytes(huge.pack())
