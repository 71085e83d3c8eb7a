"""A second, independent reader of kdump-compressed files, just enough to see what is in a dump of ours.

Format: header block, sub header, two bitmaps (page exists, page dumped), one 24-byte descriptor per dumped page in PFN
order, page data. Source: makedumpfile's IMPLEMENTATION and diskdump_mod.h.
"""
import ctypes
import ctypes.util
import mmap
import struct
import zlib
from pathlib import Path
from typing import Iterator

ZLIB, ZSTD = 0x1, 0x20
INCOMPLETE = 0x8


class DumpFile:
    """Random access to the pages of one file."""

    def __init__(self, path: Path):
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        if self._map[:8] != b"KDUMP   ":
            raise ValueError(f"{path} is not a kdump-compressed file")
        self.status, self.block_size, sub_blocks, bitmap_blocks = struct.unpack_from("<IiiI", self._map, 424)
        (self.dump_level,) = struct.unpack_from("<i", self._map, self.block_size + 8)
        (max_mapnr,) = struct.unpack_from("<Q", self._map, self.block_size + 96)
        bitmaps = (1 + sub_blocks) * self.block_size
        half = bitmap_blocks // 2 * self.block_size
        self.exists = _pfns(self._map[bitmaps:bitmaps + half], max_mapnr)
        dumped = _pfns(self._map[bitmaps + half:bitmaps + 2 * half], max_mapnr)
        descriptors = bitmaps + 2 * half
        self._descriptor = {pfn: descriptors + 24 * index for index, pfn in enumerate(sorted(dumped))}

    @property
    def dumped(self) -> set[int]:
        return set(self._descriptor)

    def page(self, pfn: int) -> bytes:
        offset, size, flags = struct.unpack_from("<qII", self._map, self._descriptor[pfn])
        data = self._map[offset:offset + size]
        if flags & ZLIB:
            data = zlib.decompress(data)
        elif flags & ZSTD:
            data = _zstd(data, self.block_size)
        elif flags:
            raise ValueError(f"page {pfn}: flags {flags:#x}")
        if len(data) != self.block_size:
            raise ValueError(f"page {pfn}: {len(data)} bytes")
        return data

    def count(self, content: bytes) -> int:
        """How often the file holds these bytes; for uncompressed dumps."""
        count, at = 0, self._map.find(content)
        while at >= 0:
            count, at = count + 1, self._map.find(content, at + 1)
        return count

    def find(self, content: bytes) -> Iterator[int]:
        """The PFNs of the pages with this content."""
        return (pfn for pfn in sorted(self._descriptor) if self.page(pfn) == content)


def _pfns(bitmap: bytes, count: int) -> set[int]:
    pfns = set()
    for index, byte in enumerate(bitmap):
        if byte:
            pfns.update(8 * index + bit for bit in range(8) if byte >> bit & 1)
    return {pfn for pfn in pfns if pfn < count}


_libzstd = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
_libzstd.ZSTD_decompress.restype = ctypes.c_size_t


def _zstd(data: bytes, size: int) -> bytes:
    out = ctypes.create_string_buffer(size)
    got = _libzstd.ZSTD_decompress(out, ctypes.c_size_t(size), data, ctypes.c_size_t(len(data)))
    if got != size:
        raise ValueError("corrupt zstd page")
    return out.raw
