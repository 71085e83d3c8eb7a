#!/usr/bin/python3
"""The bytes of x86-64 code equal what GNU as makes of the assembly in their comments: of the trampoline, or of another
file, whose number of instructions then is the second argument."""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

SKIP = 77


def main() -> int:
    source = Path(sys.argv[1]).read_text()
    rows = re.findall(r"^\s*((?:0x[0-9a-f]{2},\s*)+)//\s*(\d+): (.*)$", source, re.MULTILINE)
    code = [(bytes.fromhex(re.sub(r"0x|,|\s", "", row)), int(offset), text.split("#")[0].strip())
            for row, offset, text in rows]
    expected = int(sys.argv[2]) if len(sys.argv) > 2 else 14
    if len(code) != expected:
        print(f"{len(code)} commented instructions found instead of {expected}")
        return 1
    # "lgdt gdt_pointer(%rip) # 80": the name is byte 80 of the trampoline.
    names = re.findall(r"(\w+)\(%rip\)\S*\s*# (\d+)", source)
    tool = next((t for t in ["x86_64-linux-gnu-as", "as"] if subprocess.run(
        ["sh", "-c", f"{t} --64 -o /dev/null - </dev/null"], capture_output=True, check=False).returncode == 0), None)
    if tool is None:
        print("skipped: no assembler for x86-64 is installed")
        return SKIP
    assembly = "start:\n" + "".join(f"{name} = start + {at}\n" for name, at in names)
    assembly += "".join(f".org {offset}\n{text}\n" for _, offset, text in code[:-1])
    with tempfile.TemporaryDirectory() as temp:
        obj, raw = Path(temp, "t.o"), Path(temp, "t.bin")
        subprocess.run([tool, "--64", "-o", obj, "-"], input=assembly.encode(), check=True)
        objcopy = tool.replace("-as", "-objcopy") if "-" in tool else "objcopy"
        subprocess.run([objcopy, "-O", "binary", obj, raw], check=True)
        assembled = raw.read_bytes()
    bad = 0
    for row, offset, text in code[:-1]:
        if assembled[offset:offset + len(row)] != row:
            print(f"offset {offset}: {text}: {row.hex()} in the source, {assembled[offset:offset + len(row)].hex()} by as")
            bad += 1
    length = code[-2][1] + len(code[-2][0])
    if len(assembled) != length:
        print(f"as makes {len(assembled)} bytes, the source has {length}")
        bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
