#!/usr/bin/python3
"""Dumps that did not come through kdump: QEMU's dump-guest-memory of a guest alive, and of the same guest after its panic,
each as ELF and as kdump-compressed.     test_qemu_dump.py qemu-dump | qemu-dump-no-device

With the vmcoreinfo device QEMU puts the VMCOREINFO into them. Without it our programs search the memory for it, or are
given it by --vmcoreinfo; where it is in truth the guest said (/sys/kernel/vmcoreinfo)."""
import struct
import sys
import tempfile
from pathlib import Path

import e2e
import guest
from dumpfile import DumpFile
from every_command import EveryCommand
from facts import read_facts

CONFIG = guest.CONFIGS[sys.argv[1]]
FILES = ["live.elf", "live.kdump", "panicked.elf", "panicked.kdump"]


def elf_memory(path: Path, address: int, size: int) -> bytes:
    """Physical memory of an ELF file."""
    with path.open("rb") as file:
        header = file.read(64)
        table, = struct.unpack_from("<Q", header, 32)
        count, = struct.unpack_from("<H", header, 56)
        file.seek(table)
        for _ in range(count):
            kind, _, offset, _, start, length, _, _ = struct.unpack("<IIQQQQQQ", file.read(56))
            if kind == 1 and start <= address < start + length:
                file.seek(offset + address - start)
                return file.read(size)
    raise ValueError(f"{path} has no {address:#x}")


class QemuDump(e2e.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.facts = read_facts(CONFIG.machine, cls.guest_run)
        cls.kernel = guest.kernels.kernel(CONFIG.kernel)
        cls.note_address = int(cls.guest_run.text("vmcoreinfo").split()[0], 16)

    def vmcoreinfo_file(self, directory: str) -> Path:
        """The VMCOREINFO as text, read without our programs."""
        note = elf_memory(self.guest_run.path("live.elf"), self.note_address, 4096)
        name_size, size, _ = struct.unpack_from("<III", note)
        start = 12 + (name_size + 3) // 4 * 4
        text = note[start:start + size]
        self.assertTrue(text.startswith(b"OSRELEASE="), text[:40])
        file = Path(directory, "vmcoreinfo.txt")
        file.write_bytes(text)
        return file

    def test_info(self):
        for name in FILES:
            with self.subTest(name):
                info = self.run_json("kdump-analyze", "info", self.guest_run.path(name), "--json")
                self.assertEqual(self.kernel.release, info["identity"]["release"])
                searched = [limit["detail"] for limit in info["limits"] if "searched" in limit["detail"]]
                self.assertEqual(0 if CONFIG.vmcoreinfo_device else 1, len(searched), searched)

    def test_vmcoreinfo_by_hand(self):
        """The same as found by the search, and no search."""
        with tempfile.TemporaryDirectory() as temp:
            given = ["--vmcoreinfo", self.vmcoreinfo_file(temp)]
            for name in FILES:
                with self.subTest(name):
                    path = self.guest_run.path(name)
                    log = self.run_program("kdump-analyze", "log", path, *given)
                    self.assertEqual(self.run_program("kdump-analyze", "log", path), log)
                    info = self.run_json("kdump-analyze", "info", path, *given, "--json")
                    self.assertEqual([], [limit for limit in info["limits"] if "searched" in limit["detail"]])

    def test_log(self):
        """What was on the console is in the log, in order; the panic only in the later dumps."""
        for name in FILES:
            with self.subTest(name):
                log = self.run_json("kdump-analyze", "log", self.guest_run.path(name), "--json")["records"]
                lines = [line.rstrip() for record in log for line in record["text"].splitlines()]
                said = iter(lines)
                panic = next(i for i, line in enumerate(self.facts.console) if "Kernel panic" in line)
                expected = self.facts.console if "panicked" in name else self.facts.console[:panic - 1]
                missing = [line for line in expected if not line.startswith(("---[", "sysrq:")) and line.rstrip() not in said]
                self.assertEqual([], missing[:3])
                self.assertEqual("panicked" in name, any("sysrq triggered crash" in line for line in lines))

    def test_panic(self):
        for name in FILES[2:]:
            with self.subTest(name):
                report = self.run_json("kdump-analyze", "report", self.guest_run.path(name), "--vmlinux", self.kernel.vmlinux,
                                       "--format", "json")
                crash = report["crash"]
                self.assertEqual("sysrq_crash", crash["class"]["name"])
                self.assertEqual((self.facts.crash_cpu, self.facts.crash_pid), (crash["cpu"], crash["pid"]))
                frames = next(cpu for cpu in crash["cpus"] if cpu["crashed"])["backtrace"]["frames"]
                names = [f"{frame['symbol']}+{frame['symbol_offset']:#x}/{frame['symbol_size']:#x}" for frame in frames]
                own = self.facts.trace
                outwards = own[next(i for i, frame in enumerate(own) if frame.startswith("panic+")) + 1:]
                self.assertEqual(outwards, names[-len(outwards):])

    def test_alive(self):
        """No crash: the tasks are there, and every CPU has a backtrace."""
        for name in FILES[:2]:
            with self.subTest(name):
                report = self.run_json("kdump-analyze", "report", self.guest_run.path(name), "--vmlinux", self.kernel.vmlinux,
                                       "--format", "json")
                self.assertEqual("no_panic", report["crash"]["class"]["name"])
                comms = [task["comm"] for task in report["tasks"]["items"]]
                self.assertEqual(20, sum(comm.startswith("kdk-sleeper-") for comm in comms), comms)
                self.assertEqual([0, 1], [cpu["cpu"] for cpu in report["crash"]["cpus"]])
                for cpu in report["crash"]["cpus"]:
                    self.assertTrue(cpu["user_mode"] or cpu["backtrace"]["complete"], cpu["backtrace"])

    def test_every_command(self):
        for name in ["live.elf", "panicked.kdump"]:
            EveryCommand(self, self.guest_run.path(name), self.kernel.vmlinux).ask_all()

    def test_save(self):
        """kdump-capture filters them: the same pages of both formats, none of user memory."""
        for moment in ["live", "panicked"]:
            with self.subTest(moment), tempfile.TemporaryDirectory() as temp:
                saved = []
                for name in [f"{moment}.elf", f"{moment}.kdump"]:
                    out = Path(temp, name)
                    self.run_program("kdump-capture", "save", self.guest_run.path(name), out, "-d", 31, "--progress", "none")
                    saved.append(DumpFile(out))
                    self.assertIn(f"{self.kernel.release}", self.run_program("kdump-analyze", "info", out))
                elf, kdump = saved
                self.assertGreater(len(elf.dumped), 5000)
                self.assertEqual(elf.dumped, kdump.dumped)
                self.assertEqual([], [pfn for pfn in elf.dumped if elf.page(pfn) != kdump.page(pfn)][:3])
                user = [pfn for pfn in self.facts.markers.values() if pfn is not None]
                self.assertEqual(set(), elf.dumped & set(user))
                self.assertTrue(elf.exists.issuperset(user))


if __name__ == "__main__":
    e2e.main(sys.argv[1])
