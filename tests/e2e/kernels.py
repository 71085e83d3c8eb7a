"""Every kernel a guest can run, by name: Debian's (packages.py) and our own builds (own_kernel.py)."""
import own_kernel
import packages
from machines import Machine

MACHINES: dict[str, Machine] = {name: machine for name, (machine, _) in packages.KERNELS.items()} | {
    name: own_kernel.OwnKernel.machine for name in own_kernel.KERNELS}


def kernel(name: str, download: bool = False) -> packages.Kernel | own_kernel.OwnKernel:
    """Skip when the cache lacks it and it must not or cannot be fetched or built."""
    return (own_kernel if name in own_kernel.KERNELS else packages).kernel(name, download)
