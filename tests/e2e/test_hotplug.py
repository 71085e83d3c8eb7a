#!/usr/bin/python3
"""A machine that gets a CPU and memory after it was armed, and crashes on that CPU: kept current by the kernel, or loaded again
by our udev rule (with Debian's systemd and udev), or by hand. The guest's side is guest/hotplug-production.sh.
test_hotplug.py CONFIG"""
import re
import sys

import e2e
import guest
from dumpfile import DumpFile
from every_command import EveryCommand
from facts import marker_page, read_facts

CONFIG = guest.CONFIGS[sys.argv[1]]
MACHINE = CONFIG.machine
ADDED_CPU = "maxcpus" in CONFIG.smp  # a third one
NEW_CPU = ADDED_CPU or "maxcpus" in CONFIG.append  # or one that comes online
# Debian's only kernel of ours that follows hotplug by itself.
FOLLOWED = CONFIG.kernel == "6.12-cloud-amd64"


class Hotplug(e2e.TestCase):
    """The tests share one run of the guest."""

    def ram(self, name: str) -> set[tuple[int, int]]:
        """The ranges of System RAM in one of the guest's copies of /proc/iomem; the end is the last byte."""
        lines = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) : System RAM$", self.guest_run.text(name), re.MULTILINE)
        return {(int(start, 16), int(end, 16)) for start, end in lines}

    def new_pages(self) -> range:
        """The page frames that came."""
        added = self.ram("iomem.after") - self.ram("iomem.before")
        self.assertEqual(1, len(added), added)
        start, end = next(iter(added))
        self.assertEqual(CONFIG.plug_memory << 20, end + 1 - start)
        return range(start // 4096, (end + 1) // 4096)

    def status(self, step: str) -> dict:
        return self.valid_json(self.guest_run.text(step + ".stdout"))

    # ---- what the loaded image is said to be

    def test_who_keeps_the_header_right(self):
        self.assert_exit("load", 0)
        plan = self.valid_json(self.guest_run.text("plan.stdout"))
        self.assertEqual("kernel" if FOLLOWED else "reload", plan["program_headers_kept_by"])
        asked = FOLLOWED and plan["syscall"] == "kexec_load"
        self.assertEqual(["KEXEC_CRASH_HOTPLUG_SUPPORT", "KEXEC_UPDATE_ELFCOREHDR"] if asked else [], plan["optional_flags"])
        self.assertEqual(["elfcorehdr"] if asked else [],
                         [segment["name"] for segment in plan["segments"] if segment["rewritten_by_kernel"]])
        # The kernel's own word, of this image.
        followed = True if FOLLOWED else None
        self.assertEqual({"cpu": followed, "memory": followed}, self.status("loaded-status")["crash_hotplug"])

    def test_after_hotplug(self):
        self.new_pages()
        if NEW_CPU:
            self.assertEqual("0-2", self.guest_run.text("cpus").strip())
        self.assert_exit("plugged-status", 0 if FOLLOWED else 3)
        status = self.status("plugged-status")
        self.assertEqual("armed" if FOLLOWED else "stale", status["state"])
        changed = [] if FOLLOWED else ["memory was added or removed since the load"]
        changed += ["CPUs were added or removed since the load"] if ADDED_CPU else []
        self.assertEqual(changed, status["reasons"])
        self.assert_exit("plugged-verify", 0 if FOLLOWED else 3)

    def test_loaded_again_only_where_needed(self):
        self.assert_exit("final-status", 0)
        self.assert_exit("final-verify", 0)
        loaded = self.status("loaded-status")["record"]["loaded_at"]
        again = self.status("final-status")["record"]["loaded_at"]
        (self.assertEqual if FOLLOWED else self.assertNotEqual)(loaded, again)

    def test_a_cpu_that_was_never_started_is_named(self):
        if not NEW_CPU:
            self.skipTest("no CPU comes")
        self.assertIn("CPU 2 was never online", self.guest_run.text("unstarted-status.stdout"))

    # ---- udev

    def test_udev_rule(self):
        if not CONFIG.systemd:
            self.skipTest("without udev")
        for step in ["udev-cpu", "udev-memory"]:
            self.assert_exit(step, 0)
            run = [line for line in self.guest_run.text(step + ".stdout").splitlines() if line.startswith("run: ")]
            self.assertEqual(0 if FOLLOWED else 1, sum("kdump-load reload" in line for line in run), run)

    def test_udev_reloads_once(self):
        """All events, of a CPU and of each block of memory, started a unit; one of them loaded."""
        if not CONFIG.systemd:
            self.skipTest("without udev")
        self.assert_exit("udev-settled", 0)
        console = self.guest_run.text("console.log")
        # The guest asks for the status all the time, also while the kernel is busy with loading.
        self.assertNotIn("kdump-load: error", console)
        self.assertEqual(0 if FOLLOWED else 1, console.count("armed: crash kernel loaded again"))
        self.assertEqual(0 if FOLLOWED else CONFIG.plug_memory // 128, console.count("is about to run and will do it"))

    # ---- the dump

    def test_captured(self):
        for step in ["log", "info", "save"]:
            self.assert_exit(step, 0)
        self.assertEqual("complete", self.valid_json(self.guest_run.text("summary.json"))["status"])

    def test_new_memory_is_not_the_crash_kernels(self):
        """ACPI offers it again; what the crash kernel took would be lost."""
        total = int(re.search(r"MemTotal:\s+(\d+) kB", self.guest_run.text("crash.meminfo"))[1])
        self.assertLess(total, 256 << 10)

    def test_new_memory_is_in_the_dump(self):
        dump, new = DumpFile(self.guest_run.path("vmcore")), self.new_pages()
        self.assertTrue(dump.exists.issuperset(new))
        pfn = read_facts(MACHINE, self.guest_run).markers["anon"]
        self.assertIn(pfn, new, "the marker was to be in the new memory")
        self.assertEqual(marker_page("anon", dump.block_size), dump.page(pfn))

    def test_every_cpu_left_its_registers(self):
        report = self.run_json("kdump-analyze", "report", self.guest_run.path("vmcore"), "--no-debug-info", "--format", "json")
        crash = report["crash"]
        self.assertEqual("sysrq_crash", crash["class"]["name"])
        self.assertEqual(CONFIG.crash_cpu, crash["cpu"])
        self.assertEqual([0, 1, 2] if NEW_CPU else [0, 1], [cpu["cpu"] for cpu in crash["cpus"]])
        self.assertTrue(all(cpu["answered"] for cpu in crash["cpus"] if not cpu["crashed"]), crash["cpus"])

    def test_every_command(self):
        EveryCommand(self, self.guest_run.path("vmcore"), guest.kernels.kernel(CONFIG.kernel).vmlinux).ask_all()


if __name__ == "__main__":
    e2e.main(sys.argv[1])
