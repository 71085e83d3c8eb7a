"""Builds the two initramfs images of a guest run: a gzip-compressed newc cpio, written here so that it is the same
bytes for the same content (the run cache keys on them). Format: Documentation/driver-api/early-userspace/buffer-format.rst
"""
import gzip
import stat
import subprocess
import tempfile
from pathlib import Path


class Initramfs:
    """Collects files in memory; `pack` gives the compressed archive."""

    def __init__(self):
        self._entries: dict[str, tuple[int, bytes]] = {}
        for directory in ["bin", "dev", "mnt", "modules", "proc", "sys", "run", "tmp"]:
            self._entries[directory] = (stat.S_IFDIR | 0o755, b"")

    def add(self, path: str, content: bytes, mode: int = 0o755) -> None:
        path = path.lstrip("/")
        for parent in reversed(Path(path).parents[:-1]):
            self._entries.setdefault(str(parent), (stat.S_IFDIR | 0o755, b""))
        self._entries[path] = (stat.S_IFREG | mode, content)

    def add_tree(self, root: Path) -> None:
        for file in sorted(root.rglob("*")):
            if file.is_file():
                self.add(str(file.relative_to(root)), file.read_bytes(), file.stat().st_mode & 0o777)

    def pack(self) -> bytes:
        archive = bytearray()
        entries = sorted(self._entries.items()) + [("TRAILER!!!", (0, b""))]
        for inode, (name, (mode, content)) in enumerate(entries, 1):
            fields = [inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
            archive += b"070701" + "".join(f"{field:08x}" for field in fields).encode() + name.encode() + b"\0"
            archive += bytes(-len(archive) % 4) + content
            archive += bytes(-len(archive) % 4)
        return gzip.compress(bytes(archive), compresslevel=6, mtime=0)


def stripped(program: Path, strip: str) -> bytes:
    """A program without its symbols, as it would be put into a real initramfs; `strip` is the command for it."""
    with tempfile.NamedTemporaryFile() as out:  # strip needs a file it can seek in
        subprocess.run([strip, "-o", out.name, program], check=True)
        return Path(out.name).read_bytes()
