#!/usr/bin/python3
"""The trampoline's words equal what GNU as makes of the assembly in its comments."""
import re
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

SKIP = 77


def main() -> int:
    source = Path(sys.argv[1]).read_text()
    rows = re.findall(r"0x([0-9a-f]{8}),\s*//\s*(\d+): (.*)", source)
    if len(rows) != 6:
        print(f"{len(rows)} commented instructions found instead of 6")
        return 1
    # "ldr x0, 24" in the comment means the literal at byte 24 of the trampoline.
    lines = [re.sub(r"^(ldr\s+x\d+), (\d+)$", r"\1, start + \2", text.strip()) for _, _, text in rows]
    with tempfile.TemporaryDirectory() as temp:
        obj, raw = Path(temp, "t.o"), Path(temp, "t.bin")
        assembly = "start:\n" + "\n".join(lines) + "\n.quad 0\n.quad 0\n"
        try:
            subprocess.run(["aarch64-linux-gnu-as", "-o", obj, "-"], input=assembly.encode(), check=True)
        except FileNotFoundError:
            print("skipped: aarch64-linux-gnu-as is not installed")
            return SKIP
        subprocess.run(["aarch64-linux-gnu-objcopy", "-O", "binary", obj, raw], check=True)
        words = struct.unpack("<6I", raw.read_bytes()[:24])
    bad = 0
    for (word, offset, text), assembled in zip(rows, words):
        if int(word, 16) != assembled:
            print(f"offset {offset}: {text}: 0x{word} in the source, {assembled:#010x} by as")
            bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
