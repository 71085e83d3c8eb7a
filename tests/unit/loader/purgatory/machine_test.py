#!/usr/bin/python3
"""The arm64 purgatory on QEMU's board without any kernel: the segments that kdump-load plans for a fake machine are put
into memory, the CPU enters them as a crashed kernel would, and what takes the crash kernel's place says how it was
entered. Exception levels, granules, CPUs; then memory that was changed, and memory that cannot be read.

usage: machine_test.py KDUMP_LOAD WRITE_FAKE_MACHINE
"""
import json
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROGRAM, WRITER = sys.argv[1:3]
TOOL = "aarch64-linux-gnu-"
REFUSED = "kdump-load: the crash kernel is not started: "


def assemble(directory: Path, name: str, *options: str) -> Path:
    target = directory / name
    subprocess.run([f"{TOOL}gcc", "-nostdlib", "-static", "-Wl,--build-id=none", *options, "-o", target, HERE / "machine.S"], check=True,
                   stderr=subprocess.PIPE)
    return target


class Board(unittest.TestCase):
    def setUp(self):
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        subprocess.run([WRITER, self.directory], check=True)
        elf = assemble(self.directory, "kernel.elf", "-Wl,-Ttext=0")
        subprocess.run([f"{TOOL}objcopy", "-O", "binary", elf, self.directory / "kernel"], check=True)
        # Large enough to have whole blocks, and an end inside one.
        with (self.directory / "kernel").open("ab") as kernel:
            kernel.write(bytes(range(251)) * 500)

    def plan(self, pages: str = "4k", conduit: str = "hvc") -> dict[str, tuple[int, bytes]]:
        """The segments, by name: address and bytes."""
        root, out = self.directory / f"root-{pages}", self.directory / "plan"
        tree = root / "sys/firmware/fdt"
        tree.write_bytes(tree.read_bytes().replace(b"hvc\0", conduit.encode() + b"\0"))
        done = subprocess.run([PROGRAM, "plan", "--json", "--sysroot", root, "--output-dir", out, "--digest", "on",
                               "--kernel", self.directory / "kernel", "--initrd", self.directory / "initrd"],
                              capture_output=True, text=True)
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        plan = json.loads(done.stdout)
        self.entry = int(plan["entry"], 16)
        return {s["name"]: (int(s["address"], 16), (out / (s["name"] + ".bin")).read_bytes()) for s in plan["segments"]}

    def boot(self, segments: dict[str, tuple[int, bytes]], cpu: str = "cortex-a57", board: str = "", start: tuple[str, ...] = ()) -> str:
        elf = assemble(self.directory, "start.elf", "-Wl,-Ttext=0x48000000", "-DSTART", f"-DENTRY={self.entry:#x}", *start)
        loaders = []
        for name, (address, data) in segments.items():
            file = self.directory / (name + ".segment")
            file.write_bytes(data)
            loaders += ["-device", f"loader,file={file},addr={address:#x},force-raw=on"]
        done = subprocess.run(["qemu-system-aarch64", "-M", f"virt{board}", "-accel", "tcg", "-cpu", cpu, "-m", "1024", "-nodefaults",
                               "-display", "none", "-serial", "stdio", "-no-reboot", "-kernel", elf, *loaders],
                              capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        return done.stdout

    def expect_entered(self, console: str, level: int, segments) -> None:
        """At the level it came from, C and M off, all interrupts masked, x0 the device tree, x1 to x3 zero."""
        dtb = segments["dtb"][0]
        self.assertEqual(f"kernel entered: {level} 0 {15:016x} {dtb:016x} {0:016x} \n", console)

    def test_levels_and_granules(self):
        cases = [("cortex-a57", "", 1, "4k", ()), ("cortex-a57", ",virtualization=on", 2, "4k", ()),
                 ("cortex-a57", "", 1, "64k", ()), ("max", "", 1, "16k", ()), ("max", ",virtualization=on", 2, "16k", ()),
                 ("max", ",virtualization=on", 2, "64k", ("-DEL2_HOST",)), ("max", ",virtualization=on", 2, "4k", ("-DEL2_HOST",)),
                 ("max", "", 1, "4k", ("-DSTREAMING",))]
        for cpu, board, level, pages, start in cases:
            with self.subTest(cpu=cpu, level=level, pages=pages, start=start):
                segments = self.plan(pages, "hvc" if level == 1 else "smc")
                self.expect_entered(self.boot(segments, cpu, board, start), level, segments)

    def test_changed_memory(self):
        segments = self.plan()
        for name in ["kernel", "initrd", "dtb", "trampoline", "elfcorehdr"]:
            address, data = segments[name]
            for at in [0, len(data) // 2, len(data) - 1][:3 if name == "kernel" else 1]:
                changed = bytearray(data)
                changed[at] ^= 1
                with self.subTest(name, at=at):
                    console = self.boot(segments | {name: (address, bytes(changed))})
                    self.assertEqual(f"\n{REFUSED}{name} is not in memory as it was loaded; resetting the machine\n", console)
        with self.subTest("at EL2"):
            segments = self.plan(conduit="smc")
            address, data = segments["initrd"]
            console = self.boot(segments | {"initrd": (address, data[:-1] + bytes([data[-1] ^ 0x80]))}, board=",virtualization=on")
            self.assertIn("initrd is not in memory as it was loaded; resetting the machine", console)

    def test_memory_that_cannot_be_read(self):
        for level, board, conduit in [(1, "", "hvc"), (2, ",virtualization=on", "smc")]:
            with self.subTest(level=level):
                segments = self.plan(conduit=conduit)
                address, data = segments["purgatory"]
                kernel = segments["kernel"][0].to_bytes(8, "little")
                # The kernel's address in the list of what to check: outside of the crash region nothing is mapped.
                self.assertEqual(1, len(re.findall(re.escape(kernel), data)))
                damaged = data.replace(kernel, (0x40000000).to_bytes(8, "little"))
                console = self.boot(segments | {"purgatory": (address, damaged)}, board=board)
                self.assertEqual(f"\n{REFUSED}reading its memory failed; resetting the machine\n", console)


if __name__ == "__main__":
    for tool in ["qemu-system-aarch64", f"{TOOL}gcc"]:
        if not shutil.which(tool):
            print(f"skipped: {tool} is not installed: run scripts/deps")
            sys.exit(77)
    unittest.main(argv=sys.argv[:1])
