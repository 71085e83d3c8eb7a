#!/usr/bin/python3
"""One configuration of guest.py, all the way: armed, crashed, captured, explained; each step checked against what the
guest's own kernel said.     test_crash.py CONFIG"""
import dataclasses
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import e2e
import guest
import module
from dumpfile import INCOMPLETE, DumpFile
from every_command import EveryCommand
from facts import marker_page, read_facts

CONFIG = guest.CONFIGS[sys.argv[1]]
MACHINE = CONFIG.machine
FOUR_GIB = 4 << 30


@dataclasses.dataclass(frozen=True)
class Expected:
    """What must be said of a crash that was made on purpose."""
    name: str                     # its class
    message: str                  # part of the panic message
    function: str                 # on the crashing CPU's stack
    lines: tuple[tuple[str, str], ...] = ()  # of a module's: (function, text of its line), innermost first, inlined ones too
    in_interrupt: bool | None = None  # None: not said
    address: int | None = None    # that was accessed


# By Config.trigger; see module/kdk_crash.c.
EXPECTED = {
    "c": Expected("sysrq_crash", "sysrq triggered crash", "sysrq_handle_crash", in_interrupt=False),
    "softirq bug": Expected("bug_on", "kernel BUG at kdk_crash.c:", "kdk_fail_bug",
                            (("kdk_fail_bug", "BUG();"),), True),  # a tail call from kdk_softirq()
    "hardirq null": Expected("null_deref", "NULL pointer dereference", "kdk_fail_null",
                             (("kdk_queue_length", "READ_ONCE(queue->entries)"), ("kdk_fail_null", 'pr_info("%s has'),
                              ("kdk_hardirq", "failure();")), True, 40),
    # Where in its round it met the end of the stack depends on where it began.
    "task overflow": Expected("stack_overflow", "stack", "kdk_recurse",
                              (("kdk_recurse", ""),) + (("kdk_recurse", "kdk_recurse(depth - 1) +"),) * 3),
    "nmi": Expected("watchdog_nmi", "NMI: Not continuing", "unknown_nmi_error"),
}[CONFIG.trigger]


class Crash(e2e.TestCase):
    """The tests share one run of the guest and one report."""

    @classmethod
    def setUpClass(cls):
        cls.facts = read_facts(MACHINE, cls.guest_run)
        cls.dump_path = cls.guest_run.path("vmcore")
        cls.vmlinux = guest.kernels.kernel(CONFIG.kernel).vmlinux
        cls.dump = DumpFile(cls.dump_path)
        self = cls()
        cls.report = self.run_json("kdump-analyze", "report", cls.dump_path, "--vmlinux", cls.vmlinux, "--format", "json")
        cls.summary = self.valid_json(cls.guest_run.text("summary.json"))

    def crashing_cpu(self, report: dict) -> dict:
        return next(cpu for cpu in report["crash"]["cpus"] if cpu["crashed"])

    # ---- kdump-load

    def test_armed(self):
        for step in ["plan", "load", "status"]:
            self.assert_exit(step, 0)
        plan = self.valid_json(self.guest_run.text("plan.stdout"))
        self.assertTrue(plan["good"])
        self.assertEqual([], [check for check in plan["checks"] if check["status"] == "failed"])
        # Whatever the kernel, level, page size and regions: its memory was compared before it started.
        digest = plan["digest"]
        self.assertEqual(plan["syscall"] == "kexec_load", digest["on"] and digest["bytes"] > 0, digest)
        self.assertNotIn("the crash kernel is not started", self.guest_run.text("console.log"))
        self.assertEqual("armed", self.valid_json(self.guest_run.text("status.stdout"))["state"])

    def test_crash_regions(self):
        """Where the configuration wants them."""
        plan = self.valid_json(self.guest_run.text("plan.stdout"))
        regions = [(int(region["start"], 16), int(region["start"], 16) + int(region["size"], 16))
                   for region in plan["crash_regions"]]
        if "high" in CONFIG.crashkernel:
            (_, low_end), (high, _) = regions
            self.assertLessEqual(low_end, FOUR_GIB)
            self.assertGreaterEqual(high, FOUR_GIB)
        else:
            [(start, end)] = regions
            across = "@" in CONFIG.crashkernel
            self.assertEqual(across, start < FOUR_GIB < end, regions)

    def test_exception_level_and_interrupt_controller(self):
        """Both kernels were entered where the configuration wants it."""
        if MACHINE.name != "arm64":
            self.skipTest("arm64 only")
        console = self.guest_run.text("console.log")
        level = "EL2" if "virtualization=on" in CONFIG.board else "EL1"
        self.assertEqual([level, level], re.findall(r"All CPU\(s\) started at (EL\d)", console))
        self.assertEqual("gic-version=2" not in CONFIG.board, "GICv3: " in console)

    def test_crash_kernel_command_line(self):
        words = self.guest_run.text("crash.cmdline").split()
        self.assertIn("cma=0", words)
        self.assertTrue(any(word.startswith("panic=") for word in words), "panic=N, or a failure hangs for ever")
        self.assertFalse(any(word.startswith("crashkernel=") for word in words))

    # ---- kdump-capture

    def test_captured(self):
        for step in ["log", "info", "save"]:
            self.assert_exit(step, 0)
        self.assertEqual("complete", self.summary["status"], self.summary["reasons"])
        self.assertEqual(31, self.summary["filter"]["level_used"])
        self.assertEqual(self.summary["pages"]["read_errors"], 0)
        self.assertEqual(self.dump.status & INCOMPLETE, 0)
        self.assertEqual([], [f.name for f in self.guest_run.directory.iterdir() if "partial" in f.name or "incomplete" in f.name])

    def test_summary_counts_are_the_dump(self):
        written = self.summary["pages"]["written_pages"] + self.summary["pages"]["zero_pages"]
        self.assertEqual(len(self.dump.dumped), self.summary["filter"]["kept_pages"])
        self.assertIn(len(self.dump.dumped), {written, self.summary["pages"]["written_pages"]})
        self.assertEqual(len(self.dump.exists), self.summary["filter"]["ram_pages"])
        excluded = sum(c["excluded_pages"] for c in self.summary["filter"]["classes"].values())
        self.assertEqual(len(self.dump.exists) - len(self.dump.dumped), excluded)

    def test_classes_match_meminfo(self):
        """What the filter calls free, cache, anonymous and huge is what the kernel counted, give or take what moved
        between the two looks (and per-CPU free lists, which are free for neither)."""
        page_kb = self.dump.block_size // 1024
        found = {name: counts["found_pages"] * page_kb for name, counts in self.summary["filter"]["classes"].items()}
        info = self.facts.meminfo
        slack = 16384  # kB
        for name, seen, expected in [
            ("free", found["free"], info["MemFree"]),
            ("cache", found["cache"] + found["cache_private"], info["Cached"] + info["Buffers"]),
            ("anonymous", found["anonymous"], info["AnonPages"]),
        ]:
            self.assertAlmostEqual(seen, expected, delta=slack + expected // 50, msg=name)
        self.assertEqual(found["hugetlb"], info["HugePages_Total"] * info["Hugepagesize"])

    def test_markers(self):
        """The page in a pipe is in the dump, intact; user memory and page cache are not."""
        size = self.dump.block_size
        pages = {marker_page(name, size): name for name in self.facts.markers}
        found = sorted(pages[page] for page in map(self.dump.page, self.dump.dumped) if page in pages)
        self.assertEqual(["kernel"], found)
        for name, pfn in self.facts.markers.items():
            if pfn is not None:
                self.assertIn(pfn, self.dump.exists)
                self.assertFalse(pfn in self.dump.dumped, name)

    def test_filtering_on_the_host(self):
        """Where the whole vmcore was kept: it holds every marker, and filtered here it gives the guest's dump."""
        full = self.guest_run.path("full.elf")
        if not full.exists():
            self.skipTest("this configuration keeps no whole vmcore")
        with tempfile.TemporaryDirectory() as temp:
            for level, save_args in [(1, ["-d", 1, "--compress", "none"]), (31, ["-d", 31])]:
                out = Path(temp, f"level{level}")
                summary = Path(temp, "summary.json")
                self.run_program("kdump-capture", "save", full, out, *save_args, "--summary", summary)
                self.valid_json(summary.read_text())
                again = DumpFile(out)
                if level == 31:
                    self.assertEqual(self.dump.dumped, again.dumped)
                    continue
                self.assertEqual(again.exists, again.dumped)
                for name, pfn in self.facts.markers.items():
                    if pfn is not None:
                        self.assertEqual(marker_page(name, again.block_size), again.page(pfn), name)
                self.assertEqual(1, len(list(again.find(marker_page("kernel", again.block_size)))))

    def test_estimate(self):
        """What was said of /proc/kcore before the crash, against the dump: pages and bytes within a quarter. (Loading the
        crash kernel, filling memory and crashing come in between: 1.01 to 1.11 times the pages were seen.)"""
        if self.guest_run.exit_code("estimate") is None:
            self.skipTest("this configuration asks for no estimate")
        self.assert_exit("estimate", 0)
        estimate = self.valid_json(self.guest_run.text("estimate.stdout"))
        level = next(level for level in estimate["levels"] if level["level"] == 31)
        kept = self.summary["filter"]["kept_pages"]
        self.assertAlmostEqual(level["kept_pages"], kept, delta=kept // 4)
        self.assertAlmostEqual(estimate["ram_pages"], self.summary["filter"]["ram_pages"],
                               delta=self.summary["filter"]["ram_pages"] // 50)
        size = next(codec["dump_bytes"] for codec in level["codecs"] if codec["codec"] == self.summary["output"]["codec"])
        real = self.dump_path.stat().st_size
        self.assertAlmostEqual(size, real, delta=real // 4)

    def test_scrubbing(self):
        """Where the whole vmcore was kept: scrubbed on the host, a planted key is nowhere any more, and all else is as it
        was, byte by byte. A kernel without KALLSYMS_ALL does not say where its keys are, which is said."""
        full = self.guest_run.path("full.elf")
        if not full.exists():
            self.skipTest("this configuration keeps no whole vmcore")
        secret = self.facts.keys["userkey"]
        with tempfile.TemporaryDirectory() as temp:
            plain, scrubbed, rules, summary = (Path(temp, name) for name in ("plain", "scrubbed", "rules", "summary"))
            rules.write_text('[[keys]]\nkinds = ["keyrings"]\n'
                             '[[variable]]\nname = "init_uts_ns"\ntype = "uts_namespace"\nmember = "name.nodename"\n'
                             '[[list]]\nhead = "init_task"\nhead_type = "task_struct"\nhead_member = "tasks"\n'
                             'struct = "task_struct"\nlink = "tasks"\nmember = "comm"\noptional = true\n')
            raw = ["-d", 0, "--compress", "none"]
            self.run_program("kdump-capture", "save", full, plain, *raw)
            keys_are_known = CONFIG.kernel != "6.1-cloud-arm64"
            self.run_program("kdump-capture", "save", full, scrubbed, *raw, "--scrub", rules, "--summary", summary,
                             expect=0 if keys_are_known else 3)
            said = self.valid_json(summary.read_text())["scrub"]
            host, names, keys = said["rules"]  # by their kinds
            before, after = DumpFile(plain), DumpFile(scrubbed)
            self.assertEqual(1, before.count(secret))
            self.assertEqual(0 if keys_are_known else 1, after.count(secret))
            self.assertEqual(keys_are_known, keys["problem"] is None, keys)
            self.assertGreaterEqual(keys["bytes"], len(secret) if keys_are_known else 0)
            self.assertEqual((65, 1), (host["bytes"], host["places"]))
            self.assertEqual(before.dumped, after.dumped)
            pages = changed = 0
            for pfn in sorted(before.dumped):
                old, new = before.page(pfn), after.page(pfn)
                if old != new:
                    pages += 1
                    different = [b for a, b in zip(old, new) if a != b]
                    self.assertEqual({ord("X")}, set(different), hex(pfn))
                    changed += len(different)
            self.assertEqual(said["erased_pages"], pages)
            self.assertLessEqual(changed, said["erased_bytes"])
            self.assertGreater(changed, said["erased_bytes"] * 3 // 4, "of random keys few bytes are X before")
            erased = self.run_json("kdump-capture", "info", scrubbed, "--json")["erased"]
            self.assertIn("erase init_uts_ns.name.nodename size 65", erased)
            self.assertEqual([f"erase keys keyrings size {keys['bytes']}"] if keys_are_known else [],
                             [line for line in erased if "keyrings" in line])
            self.assertIn("erase init_uts_ns.name.nodename size 65",
                          self.run_json("kdump-analyze", "info", scrubbed, "--json")["input"]["erased"])
            if names["problem"] is None:
                # Processes, not their further threads; the head of the list is the idle task, not a process.
                self.assertGreater(names["places"], 20)

    # ---- the log

    def test_log_is_complete(self):
        log = self.run_json("kdump-analyze", "log", self.dump_path, "--json")["records"]
        self.assertTrue(log[0]["text"].startswith(MACHINE.first_record), log[0])
        if CONFIG.trigger == "c":
            self.assertIn(MACHINE.last_record, log[-1]["text"])
        self.assertEqual(list(range(log[0]["seq"], log[0]["seq"] + len(log))), [record["seq"] for record in log])
        # Everything that reached the console, in the same order. (Debug messages do not.)
        lines = [line for record in log for line in record["text"].splitlines()]
        expected = [line.rstrip() for line in self.facts.console]
        remaining = iter(line.rstrip() for line in lines)
        missing = [line for line in expected if line not in remaining]
        self.assertEqual([], missing[:3], "on the console, but not in the log at that place")

    def test_captured_log_is_the_same(self):
        text = self.run_program("kdump-analyze", "log", self.dump_path)
        self.assertEqual(text.splitlines(), self.guest_run.text("log.stdout").splitlines())
        self.assertIn(EXPECTED.message, text)

    # ---- the report

    def test_identity(self):
        identity = self.report["identity"]
        self.assertEqual(guest.kernels.kernel(CONFIG.kernel).release, identity["release"])
        self.assertEqual(MACHINE.triplet.split("-")[0], identity["machine"])
        self.assertEqual(int(CONFIG.smp), identity["cpus_possible"])
        self.assertEqual("T2", self.report["evidence"]["tier"])
        self.assertEqual("complete", self.report["status"], self.report["limits"])
        notes = subprocess.run([MACHINE.tool("readelf"), "-n", self.vmlinux], capture_output=True, text=True, check=True)
        self.assertIn(identity["build_id"], notes.stdout)

    def test_panic(self):
        crash = self.report["crash"]
        self.assertIn(EXPECTED.message, crash["panic_message"])
        self.assertEqual(EXPECTED.name, crash["class"]["name"])
        if EXPECTED.in_interrupt is not None:
            self.assertEqual(EXPECTED.in_interrupt, crash["class"]["in_interrupt"])
        if EXPECTED.address is not None:
            self.assertEqual(EXPECTED.address, int(crash["fault"]["address"], 16))
            self.assertEqual("read", crash["fault"]["access"])
        self.assertEqual((self.facts.crash_cpu, self.facts.crash_pid, "workload"), (crash["cpu"], crash["pid"], crash["comm"]))

    def check_trace(self, frames: list[dict]) -> None:
        """The frames are the kernel's own, offsets included: all of them after an exception, else those from panic()
        outwards. (Inside panic() the kernel stood at two different calls: it printed its trace, then it stopped the
        machine.) For the size of a module's function the kernel says how far the next symbol is, padding included, and
        we what the module's symbol table says: not compared. Nor are callers that only a link register names, which arm64's
        kernel leaves out."""
        frames = [frame for frame in frames if frame["kind"] != "lr_candidate"]
        own = self.facts.trace
        self.assertTrue(own, "the kernel printed no trace")
        panic = next((i for i, name in enumerate(own) if name.startswith("panic+")), None)
        if panic is not None:
            start = next((i for i, frame in enumerate(frames) if frame["symbol"] == "panic"), None)
            self.assertIsNotNone(start, frames)
            own, frames = own[panic + 1:], frames[start + 1:]
        seen = []
        for name, frame in zip(own, frames):
            mine = f"{frame['symbol']}+{frame['symbol_offset']:#x}/{frame['symbol_size']:#x}"
            if frame["module"] and re.sub("/.*", "", name) == re.sub("/.*", "", mine):
                mine = re.sub(r"\[.*", f"[{frame['module']}]", name)
            # Older kernels print the address behind a call that never returns as the start of the next function.
            behind_the_end = "+0x0/" in name and frame["symbol_offset"] == frame["symbol_size"]
            seen.append(name if behind_the_end else mine)
        self.assertEqual(own, seen)
        self.assertEqual(len(own), len(frames))

    def test_panic_backtrace(self):
        self.check_trace(self.crashing_cpu(self.report)["backtrace"]["frames"])
        names = [frame["symbol"] for frame in self.crashing_cpu(self.report)["backtrace"]["frames"]]
        self.assertIn(EXPECTED.function, names)
        self.assertTrue(self.report["crash"]["log_trace_agrees"])

    def test_panic_backtrace_without_vmlinux(self):
        report = self.run_json("kdump-analyze", "report", self.dump_path, "--no-debug-info", "--format", "json")
        self.assertEqual("T1", report["evidence"]["tier"])
        self.check_trace(self.crashing_cpu(report)["backtrace"]["frames"])

    def test_lines(self):
        """File and line of every frame, inlined functions included, as addr2line has them."""
        frames = [frame for frame in self.crashing_cpu(self.report)["backtrace"]["frames"] if not frame["module"]]
        write = next(frame for frame in frames if frame["symbol"] == "vfs_write")
        self.assertTrue(write["file"].endswith("fs/read_write.c"), write)
        self.assertGreater(write["line"], 0)
        kaslr = int(self.report["identity"]["kaslr_offset"], 16)
        for frame in frames:
            address = int(frame["pc"], 16) - kaslr - (1 if frame["pc_is_return_address"] else 0)
            out = subprocess.run([MACHINE.tool("addr2line"), "-i", "-f", "-e", self.vmlinux, hex(address)],
                                 capture_output=True, text=True, check=True).stdout.splitlines()
            expected = [(out[i].split(".")[0], Path(out[i + 1].split(":")[0]).name, int(out[i + 1].split(":")[1].split()[0]))
                        for i in range(0, len(out), 2) if ":?" not in out[i + 1]]
            ours = [(i["function"].split(".")[0], Path(i["file"]).name, i["line"]) for i in frame["inlines"]]
            ours += [(frame["symbol"].split(".")[0], Path(frame["file"]).name, frame["line"])] if frame["line"] else []
            self.assertEqual(expected, ours, frame["symbol"])

    def test_lines_in_modules(self):
        """Through the module's file in a directory given by --debug-dir; without it the report says what it lacks."""
        frames = [frame for frame in self.crashing_cpu(self.report)["backtrace"]["frames"] if frame["module"]]
        self.assertTrue(all(frame["module"] == "kdk_crash" for frame in frames), frames)
        if not frames:
            self.assertEqual((), EXPECTED.lines)
            self.assertEqual([], self.report["evidence"]["modules"])
            return
        file = module.kdk_crash(guest.kernels.kernel(CONFIG.kernel))
        notes = subprocess.run([MACHINE.tool("readelf"), "-n", file], capture_output=True, text=True, check=True).stdout
        build_id = re.search(r"Build ID: (\w+)", notes).group(1)
        self.assertEqual([("kdk_crash", build_id, None)],
                         [(m["name"], m["build_id"], m["path"]) for m in self.report["evidence"]["modules"]])
        [limit] = [limit for limit in self.report["limits"] if limit["path"] == "/evidence/modules/0"]
        self.assertEqual("debug_info_absent", limit["code"])
        self.assertIn(build_id, limit["need"])
        trace = self.run_json("kdump-analyze", "bt", self.dump_path, "--vmlinux", self.vmlinux, "--debug-dir", file.parent,
                              "--json")
        self.assertEqual([("kdk_crash", str(file), "build-id", [])],
                         [(m["name"], m["path"], m["match"], m["refused"]) for m in trace["evidence"]["modules"]])
        self.check_trace(self.crashing_cpu(trace)["backtrace"]["frames"])
        source = (module.HERE / "module" / "kdk_crash.c").read_text().splitlines()
        seen = []
        for frame in self.crashing_cpu(trace)["backtrace"]["frames"]:
            if frame["module"]:
                rows = frame["inlines"] + [{"function": frame["symbol"], "file": frame["file"], "line": frame["line"]}]
                # The macros of the kernel's headers are inlined functions of other files, on some kernels.
                seen += [(row["function"].split(".")[0], source[row["line"] - 1]) for row in rows
                         if Path(row["file"]).name == "kdk_crash.c"]
        self.assertGreaterEqual(len(seen), len(EXPECTED.lines), seen)
        for (function, text), (seen_function, seen_text) in zip(EXPECTED.lines, seen):
            self.assertEqual(function, seen_function, seen)
            self.assertIn(text, seen_text, seen)

    def test_variables(self):
        """Arguments and variables whose values the guest's story gives, in the kernel and in the module."""
        more = []
        if EXPECTED.lines:
            more = ["--debug-dir", module.kdk_crash(guest.kernels.kernel(CONFIG.kernel)).parent]
        trace = self.run_json("kdump-analyze", "bt", self.dump_path, "--vmlinux", self.vmlinux, "-v", "--json", *more)
        index = next(i for i, cpu in enumerate(trace["crash"]["cpus"]) if cpu["crashed"])
        functions = trace["variables"][index]
        self.assertGreater(len(functions), 8)
        items = [item for function in functions for item in function["items"]]
        self.assertGreater(sum(item["state"] == "known" for item in items), len(items) // 8)
        self.assertEqual([], [item for item in items if item["state"] == "unsupported"])
        for name, variable, value in {
            # An int in older kernels, a u8 in newer ones.
            "c": [("__handle_sysrq", "key", ("'c'", "99"))],
            "hardirq null": [("kdk_queue_length", "queue", "NULL")],
            "softirq bug": [("crash_set", "context", '"softirq"'), ("crash_set", "name", '"bug"'),
                            ("call_timer_fn", "fn", "kdk_softirq [kdk_crash]")],
        }.get(CONFIG.trigger, []):
            found = [item for function in functions for item in function["items"]
                     if (function["function"].split(".")[0], item["name"]) == (name, variable)]  # or name.cold
            self.assertEqual(1, len(found), (name, variable, functions))
            if MACHINE.name == "x86-64" and name == "__handle_sysrq" and found[0]["state"] == "optimized_out":
                continue  # some builds keep it in a register that the call may change
            self.assertTrue((found[0]["value"] or "").endswith(value), (name, variable, found))

    def test_other_cpus(self):
        cpus = self.report["crash"]["cpus"]
        self.assertEqual(list(range(int(CONFIG.smp))), [cpu["cpu"] for cpu in cpus])
        for other in [cpu for cpu in cpus if not cpu["crashed"]]:
            self.assertTrue(other["answered"])
            self.assertTrue(other["backtrace"]["frames"], other["backtrace"]["end"])
            self.assertTrue(other["backtrace"]["complete"], other["backtrace"])

    def test_tasks(self):
        """Every thread the guest listed, with the same name, and no other; but for threads of the kernel, a few of which
        may come or end between its list and its crash (kworkers, ext4lazyinit). /proc names a kworker by what it does,
        its task_struct does not."""
        tasks = {task["pid"]: task for task in self.report["tasks"]["items"]}
        seen = {pid: task["comm"] for pid, task in tasks.items()}
        listed = {pid: comm[:15] for pid, (comm, _) in self.facts.tasks.items()}
        changed = {pid: names[pid] for names in (seen, listed) for pid in seen.keys() ^ listed.keys() if pid in names}
        self.assertEqual({}, {pid: comm for pid, comm in changed.items() if comm.startswith("kdk-") or comm in ("init", "workload")})
        self.assertLessEqual(len(changed), 3, changed)
        for pid in seen.keys() & listed.keys():
            if listed[pid].startswith("kworker/"):
                self.assertTrue(seen[pid].startswith("kworker/"), (pid, seen[pid]))
            else:
                self.assertEqual(listed[pid], seen[pid], pid)
        states = {pid: task["state"] for pid, task in tasks.items() if task["comm"].startswith("kdk-")}
        self.assertEqual({pid: state for pid, (comm, state) in self.facts.tasks.items() if comm.startswith("kdk-")}, states)
        self.assertEqual({"S", "D", "Z"}, set(states.values()))

    def test_modules(self):
        if not self.facts.modules:  # a kernel without module support: unknown, and the report says why
            self.assertIsNone(self.report["modules"])
            self.assertIn("/modules", [limit["path"] for limit in self.report["limits"]])
            return
        modules = {module["name"]: module["size_bytes"] for module in self.report["modules"]["items"]}
        self.assertEqual(self.facts.modules, modules)

    def test_text_report(self):
        text = self.run_program("kdump-analyze", "report", self.dump_path, "--vmlinux", self.vmlinux)
        for expected in [EXPECTED.message, EXPECTED.function, "fs/read_write.c", "kdk-blocked"]:
            self.assertIn(expected, text)

    def test_single_questions(self):
        self.run_json("kdump-analyze", "info", self.dump_path, "--json")
        trace = self.run_json("kdump-analyze", "bt", self.dump_path, "--vmlinux", self.vmlinux, "--json")
        self.check_trace(self.crashing_cpu(trace)["backtrace"]["frames"])
        stacks = self.run_json("kdump-analyze", "bt", self.dump_path, "--vmlinux", self.vmlinux, "--group", "--json")["stacks"]
        self.assertEqual(len(self.report["tasks"]["items"]), sum(len(stack["tasks"]) for stack in stacks))
        self.assertGreaterEqual(len(stacks[0]["tasks"]), 20)
        for stack in stacks:
            with self.subTest(stack["tasks"][0]["comm"]):
                exited = stack["tasks"][0]["state"] in "XZ"
                self.assertEqual(exited, stack["backtrace"] is None, stack["why_not"])
                if not exited:
                    self.assertTrue(stack["backtrace"]["complete"], stack["backtrace"]["end"])
        blocked = self.run_json("kdump-analyze", "bt", self.dump_path, "kdk-blocked", "--state", "D", "--json")["stacks"]
        names = [frame["symbol"] for frame in blocked[0]["backtrace"]["frames"]]
        self.assertTrue({"wait_for_vfork_done", "kernel_clone"} & set(names), names)
        locks = self.run_json("kdump-analyze", "locks", self.dump_path, "--vmlinux", self.vmlinux, "--json")["locks"]
        self.assertEqual([], locks["cycles"])
        self.assertEqual(["kdk-blocked"], [task["comm"] for stack in self.report["blocked"] for task in stack["tasks"]
                                           if task["comm"].startswith("kdk-")])
        rows = self.run_json("kdump-analyze", "ps", self.dump_path, "--vmlinux", self.vmlinux, "--json")["items"]
        self.assertEqual([task["pid"] for task in self.report["tasks"]["items"]], [row["pid"] for row in rows])
        sleeper = next(row for row in rows if row["comm"] == "kdk-markers")
        self.assertGreater(sleeper["vsz_bytes"], sleeper["rss_bytes"])
        self.assertGreater(sleeper["rss_bytes"], 0)
        if self.facts.modules:
            listed = self.run_json("kdump-analyze", "mod", self.dump_path, "--vmlinux", self.vmlinux, "--json")["items"]
            self.assertEqual(list(self.facts.modules), [module["name"] for module in listed])
        answer = self.run_json("kdump-analyze", "sym", self.dump_path, "sysrq_handle_crash", "--json")["answers"][0]
        address = answer["matches"][0]["address"]
        back = self.run_json("kdump-analyze", "sym", self.dump_path, address, "--json")["answers"][0]["matches"][0]
        self.assertEqual("sysrq_handle_crash", back["symbol"])

    def test_memory_questions(self):
        """read and vtop, of a place that every kernel names."""
        read = self.run_json("kdump-analyze", "read", self.dump_path, "linux_banner", "64", "-a", "--vmlinux",
                             self.vmlinux, "--json")
        self.assertTrue(read["text"].startswith("Linux version"), read["text"])
        vtop = self.run_json("kdump-analyze", "vtop", self.dump_path, read["address"], "--json")
        self.assertEqual(("mapped", "leaf"), (vtop["translation"], vtop["steps"][-1]["kind"]))
        physical = self.run_json("kdump-analyze", "read", self.dump_path, vtop["physical_address"], "64", "-a", "-p", "--json")
        self.assertEqual(read["text"], physical["text"])
        back = self.run_json("kdump-analyze", "vtop", self.dump_path, vtop["physical_address"], "-p", "--json")
        self.assertEqual(read["address"], back["image_address"])
        search = self.run_json("kdump-analyze", "search", self.dump_path, "--string", read["text"][:40], "--json")
        self.assertIn(vtop["physical_address"], [hit["physical_address"] for hit in search["hits"]])

    def test_memory_owners(self):
        """mem: counters, slab caches, and whose the task and the stack of the crash are."""
        given = [self.dump_path, "--vmlinux", self.vmlinux, "--json"]
        self.assertEqual(self.report["memory"], self.run_json("kdump-analyze", "mem", *given)["memory"])
        slabs = {cache["name"]: cache for cache in self.run_json("kdump-analyze", "mem", *given, "-s")["slabs"]}
        tasks = len(self.report["tasks"]["items"])
        self.assertTrue(tasks <= slabs["task_struct"]["objects_in_use"] <= slabs["task_struct"]["objects"], slabs["task_struct"])
        frames = self.crashing_cpu(self.report)["backtrace"]["frames"]
        asked = [f"task({self.report['tasks']['items'][0]['pid']})", next(frame["at"] for frame in frames if frame["at"])]
        task, stack = self.run_json("kdump-analyze", "mem", *given, *asked)["addresses"]
        self.assertEqual(("slab", "task_struct", True), (task["owner"]["kind"], task["owner"]["name"], task["in_use"]))
        # Where a page holds several stacks they are objects of a cache (kernel/fork.c, thread_stack_cache).
        self.assertTrue(stack["owner"]["kind"] == "stack" or (stack["owner"]["kind"], stack["owner"]["name"]) == ("slab", "thread_stack"),
                        stack)

    def test_kernel_objects(self):
        """Run queues, timers, works, interrupts, devices, files, mounts, network, the machine: what the guest must have had."""
        given = [self.dump_path, "--vmlinux", self.vmlinux, "--json"]
        queues = {queue["cpu"]: queue for queue in self.run_json("kdump-analyze", "runq", *given)["cpus"]}
        running = {task["pid"] for task in self.report["tasks"]["items"] if task["on_cpu"]}
        self.assertEqual(list(range(int(CONFIG.smp))), sorted(queues))
        self.assertEqual(running, {queue["current"]["pid"] for queue in queues.values() if not queue["idle"]})
        timers = self.run_json("kdump-analyze", "timer", *given)
        self.assertIn(timers["clock"]["tick_us"], (1000, 4000, 10000))
        functions = [timer["function"] for cpu in timers["cpus"] for timer in cpu["timers"]]
        self.assertTrue({"delayed_work_timer_fn", "process_timeout"} & set(functions), functions)
        works = self.run_json("kdump-analyze", "workqueue", *given)
        self.assertIn("events", [queue["name"] for queue in works["workqueues"]])
        self.assertGreaterEqual(len(works["pools"]), 2 * int(CONFIG.smp))
        waits = self.run_json("kdump-analyze", "wait", *given, "task(1)->signal->wait_chldexit")["queues"][0]
        self.assertIsNone(waits["error"])
        lines = self.run_json("kdump-analyze", "irq", *given)["lines"]
        self.assertTrue(any(line["handlers"] and sum(one["count"] for one in line["counts"]) for line in lines), lines)
        disks = {disk["name"]: disk["size_bytes"] for disk in self.run_json("kdump-analyze", "dev", *given)["disks"]}
        self.assertEqual(CONFIG.disk_mib << 20, disks["vda"])
        first = self.run_json("kdump-analyze", "files", *given, "1", "--redact", "none")["processes"][0]
        self.assertIn("/dev/console", [file["path"] for file in first["files"]])
        mounts = self.run_json("kdump-analyze", "mount", *given)["mounts"]
        self.assertTrue({("/", "rootfs"), ("/proc", "proc")} <= {(mount["target"], mount["type"]) for mount in mounts}, mounts)
        if not CONFIG.kernel.startswith("own"):  # those have no network, but carry their configuration
            names = [one["name"] for one in self.run_json("kdump-analyze", "net", *given, "-s")["namespaces"][0]["interfaces"]]
            self.assertIn("lo", names)
            self.run_json("kdump-analyze", "config", *given, expect=1)
        else:
            options = self.run_json("kdump-analyze", "config", *given, "SMP")["options"]
            self.assertIn({"name": "CONFIG_SMP", "value": "y"}, options)
        machine = self.run_json("kdump-analyze", "sys", *given)
        self.assertEqual(self.report["identity"], machine["identity"])

    def test_disassembly(self):
        """The function that crashed calls panic(), at the address that the backtrace names; with its lines."""
        if CONFIG.trigger != "c":
            self.skipTest("only sysrq's function calls panic()")
        given = [self.dump_path, "--vmlinux", self.vmlinux, "--json", "-l"]
        dis = self.run_json("kdump-analyze", "dis", *given, "sysrq_handle_crash")
        self.assertIsNone(dis["ends_early"])
        calls = [each for each in dis["instructions"] if each["target_symbol"] == "panic"]
        self.assertEqual(1, len(calls), dis["instructions"])
        files = {each.get("position", {}).get("file") or "" for each in dis["instructions"]}
        self.assertTrue(any(file.endswith("drivers/tty/sysrq.c") for file in files), files)  # own builds name a whole path
        frames = self.crashing_cpu(self.report)["backtrace"]["frames"]
        caller = next(frame for frame in frames if frame["symbol"] == "sysrq_handle_crash")
        after = int(calls[0]["address"], 16) + len(calls[0]["bytes"]) // 2
        self.assertEqual(int(caller["pc"], 16), after)

    def test_type_questions(self):
        """struct and print, where the kernel has types: the first of all tasks, and the list behind it."""
        if self.run_json("kdump-analyze", "report", self.dump_path, "--json")["evidence"]["types"] is None:
            return
        layout = self.run_json("kdump-analyze", "struct", self.dump_path, "task_struct", "--json")
        self.assertGreater(layout["size_bytes"], 1000)
        given = [self.dump_path, "--vmlinux", self.vmlinux, "--json"]
        value = self.run_json("kdump-analyze", "struct", *given, "task_struct.comm,pid", "init_task")["expressions"]
        self.assertEqual("swapper/0", value[0]["values"][0]["value"]["text"].split("\\x00")[0])
        self.assertEqual(0, value[1]["values"][0]["value"]["number"])
        walk = self.run_json("kdump-analyze", "print", *given, "list(init_task.tasks, struct task_struct, tasks).pid")
        pids = {item["value"]["number"] for item in walk["expressions"][0]["values"]}
        self.assertEqual({task["tgid"] for task in self.report["tasks"]["items"]}, pids)

    def test_shell(self):
        """A session as somebody who knows crash has it: each line says what the command says that it stands for."""
        lines = {"dmesg": "log", "bt -l": "bt", "ps 1": "ps --pid 1", "kmem -i": "mem", "foreach kernel bt": "bt --all-tasks --kernel",
                 "dis panic 4": "dis panic -n 4", "sys": "sys", "runq": "runq"}
        given = ["--vmlinux", self.vmlinux]
        for line, meaning in lines.items():
            command, *words = meaning.split()
            alone = self.run_program("kdump-analyze", command, self.dump_path, *words, *([] if command == "log" else given))
            self.assertNotEqual("", alone, meaning)
            self.assertEqual(alone, self.run_program("kdump-analyze", "shell", self.dump_path, *given, "-c", line), line)

    def test_every_command(self):
        EveryCommand(self, self.dump_path, self.vmlinux).ask_all()

    def test_wrong_vmlinux_is_refused(self):
        """The report says so (exit code 3) and gives all that can be known without one."""
        other = next(name for name, (machine, _) in guest.packages.KERNELS.items()
                     if machine == MACHINE and name != CONFIG.kernel)
        wrong = guest.kernels.kernel(other).vmlinux
        report = self.run_json("kdump-analyze", "report", self.dump_path, "--vmlinux", wrong, "--format", "json", expect=3)
        self.assertIsNone(report["evidence"]["vmlinux"])
        self.assertIn(str(wrong), "\n".join(report["evidence"]["vmlinux_refused"]))
        self.check_trace(self.crashing_cpu(report)["backtrace"]["frames"])


if __name__ == "__main__":
    e2e.main(sys.argv[1])
