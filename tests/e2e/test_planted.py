#!/usr/bin/python3
"""Some forty ways to break a kernel (planted/), and what the kernel has for that itself (drivers/misc/lkdtm), each done for real: the
report must name the kind of failure, the function that did it, its line, the task, and whether it was an interrupt.
  test_planted.py KERNEL [FAILURE...]"""
import dataclasses
import json
import re
import sys
import unittest
from pathlib import Path

import e2e
import guest
import planted

KERNEL = sys.argv[1]
SYSCTL = "/proc/sys/kernel"
ON_WARNING = f"echo 1 >{SYSCTL}/panic_on_warn"
# Two seconds are the shortest that a task can be told to hang, and a CPU to be stuck.
ON_HUNG_TASK = f"echo 2 >{SYSCTL}/hung_task_timeout_secs; echo 1 >{SYSCTL}/hung_task_panic"
ON_SOFT_LOCKUP = f"echo 1 >{SYSCTL}/watchdog_thresh; echo 1 >{SYSCTL}/softlockup_panic"
ON_HARD_LOCKUP = f"echo 1 >{SYSCTL}/watchdog_thresh; echo 1 >{SYSCTL}/hardlockup_panic"
ON_RCU_STALL = f"echo 3 >/sys/module/rcupdate/parameters/rcu_cpu_stall_timeout; echo 1 >{SYSCTL}/panic_on_rcu_stall"
ON_OUT_OF_MEMORY = "echo 1 >/proc/sys/vm/panic_on_oom"
USER_MODE = "(while :; do :; done) & :"  # on the other CPU

ARM64 = ("6.1-cloud-arm64", "6.12-cloud-arm64")
X86_64 = ("6.1-cloud-amd64", "6.12-cloud-amd64")
NEW = ("6.12-cloud-arm64", "6.12-cloud-amd64")
OWN = ("own-4k-arm64",)


@dataclasses.dataclass(frozen=True)
class Failure:
    """What is planted, and what must be said of it."""
    name: str
    classes: str                 # one of these words
    function: str                # that did it
    before: str = ":"            # what has to be set
    task: str = "sh"
    in_interrupt: bool | None = False  # None: as it comes
    noticed_by: str = ""         # a pattern of the check that noticed, if one did
    kernels: tuple = ARM64 + X86_64
    commands: str = ""           # instead of planting it
    by_host: str = ""            # what the host does then, in its monitor
    finding: str = ""            # a pattern of a finding's title
    line: str = ""               # text in LKDTM's sources: the report must give its line
    inlined: str = ""            # the function that has that line, when the compiler put it into `function`
    title: str = "."             # a pattern of the class's title
    timeout: int = 120


def marked_lines() -> dict[str, tuple[str, int]]:
    """Where the sources say "plant: NAME": file and line that the report must give."""
    lines = {}
    for file in sorted((guest.HERE / "planted").glob("*.[ch]")):
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if marked := re.search(r"plant: (\w+) ", line):
                lines[marked[1]] = (file.name, number)
    return lines


def lines_in(sources: Path, function: str, text: str) -> set[tuple[str, int]]:
    """File and number of the lines of `function` that have `text` in them."""
    found = set()
    for file in sorted(sources.glob("*.c")):
        inside = False
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if inside and text in line:
                found.add((file.name, number))
            inside = (inside or re.search(rf"\b{function}\([^;]*$", line)) and line != "}"
    return found


def lkdtm(name: str, classes: str, line: str, *, function: str = "", before: str = ":", **more) -> Failure:
    return Failure(name, classes, function or f"lkdtm_{name}", before, kernels=OWN, line=line, **more)


MARKED = marked_lines()
FAILURES = [
    Failure("null_read", "null_deref", "kdk_null_read"),
    Failure("null_write", "null_deref", "kdk_null_write"),
    Failure("null_call", "null_deref", "kdk_null_call", noticed_by="^0x0000000000000000$"),
    # 6.1 arm64: a module's data is not told from its code there, and the caller is missing. 6.12's own name for the place is that of a
    # mark of the linker's.
    Failure("wild_call", "bad_paging", "kdk_wild_call", noticed_by="^(kdk_device|__stop_alloc_tags)$", kernels=X86_64 + ARM64[1:]),
    Failure("exec_data", "bad_paging", "kdk_exec_data", noticed_by="^0x", title="Execution of kernel memory that holds no code"),
    Failure("exec_user", "bad_paging", "kdk_exec_user", noticed_by="^0x0000", title="Execution of user memory by the kernel"),
    # A Cortex-A57 lets the kernel read what is the user's.
    Failure("read_user", "bad_paging", "kdk_read_user", kernels=X86_64, title="Access of the kernel to user memory"),
    Failure("wild_read", "bad_paging gpf", "kdk_wild_read"),
    Failure("unmapped_read", "bad_paging", "kdk_unmapped_read"),
    Failure("constant_write", "bad_paging", "kdk_constant_write", title="Write to read-only memory"),
    Failure("bug", "bug_on", "kdk_bug"),
    Failure("bug_inline", "bug_on", "kdk_bug_inline"),
    Failure("warn", "warn_panic", "kdk_warn", ON_WARNING),
    Failure("panic", "panic", "kdk_panic"),
    Failure("undefined_instruction", "invalid_op", "kdk_undefined_instruction"),
    Failure("divide", "divide", "kdk_divide", kernels=X86_64),
    Failure("stack_overflow", "stack_overflow", "kdk_recurse", in_interrupt=None),
    Failure("stack_smash", "stack_protector", "kdk_stack_smash", noticed_by="^__stack_chk_fail$"),
    Failure("list_add_freed", "list_corruption", "kdk_list_add_freed", noticed_by="^__list_add_valid"),
    Failure("list_del_twice", "list_corruption", "kdk_list_del_twice", noticed_by="^__list_del_entry_valid"),
    Failure("refcount_revived", "refcount", "kdk_refcount_revived", ON_WARNING, noticed_by="^refcount_warn_saturate$"),
    Failure("double_free", "slab_corruption", "kdk_double_free", noticed_by="free"),
    Failure("slab_double_free", "double_free", "kdk_slab_double_free", noticed_by="slab_err|object_err|slab"),
    Failure("slab_overrun", "slab_corruption", "kdk_slab_overrun", noticed_by="check_bytes_and_report|object_err|slab"),
    Failure("slab_use_after_free", "slab_corruption", "kdk_(slab_use_after_free|object)", noticed_by="check_bytes_and_report|object_err|slab"),
    Failure("kfence_overrun", "kfence", "kdk_kfence_overrun", ON_WARNING, kernels=NEW),
    Failure("usercopy", "usercopy", "kdk_usercopy", noticed_by="^usercopy_abort"),
    Failure("bad_page", "bad_page", "kdk_bad_page", noticed_by="page", kernels=NEW),
    Failure("softirq", "null_deref", "kdk_null_read", USER_MODE, in_interrupt=True),
    Failure("hardirq", "null_deref", "kdk_null_read", in_interrupt=True),
    Failure("tasklet", "null_deref", "kdk_null_read", task="(ksoftirqd/.*|swapper/.*|sh)", in_interrupt=True),
    Failure("work", "null_deref", "kdk_null_read", task="kworker/.*"),
    Failure("thread", "null_deref", "kdk_null_read", task="kdk-thread"),
    Failure("rcu_callback", "null_deref", "kdk_null_read", task=".*", in_interrupt=None),
    Failure("other_cpu", "null_deref", "kdk_null_read", task=".*", in_interrupt=True),
    Failure("atomic_sleep", "atomic_sleep", "kdk_atomic_sleep", ON_WARNING, noticed_by="^(__)?schedule"),
    Failure("out_of_memory", "oom_panic", "out_of_memory", ON_OUT_OF_MEMORY, task=".*"),
    Failure("abba", "hung_task", "kdk_abba_function", ON_HUNG_TASK, task="kdk-abba-[ab]", noticed_by="mutex_lock",
            finding="2 tasks wait for each other: kdk-abba-[ab] .* mutex .*, held by kdk-abba-[ab] .* mutex .*, held by kdk-abba-[ab]"),
    Failure("mutex_chain", "hung_task", "kdk_(holder|waiter)_function", ON_HUNG_TASK, task="kdk-(holder|waiter-.)"),
    Failure("rwsem_wait", "hung_task", "kdk_(reader|writer)_function", ON_HUNG_TASK, task="kdk-(reader|writer)"),
    Failure("soft_lockup", "soft_lockup", "kdk_soft_lockup", ON_SOFT_LOCKUP, in_interrupt=None),
    Failure("spinlock_twice", "soft_lockup", "kdk_spinlock_twice", ON_SOFT_LOCKUP, in_interrupt=None,
            noticed_by="queued_spin_lock_slowpath", finding="spins on spinlock .* in kdk_spinlock_twice, which it probably has already"),
    Failure("spin_pair", "soft_lockup", "kdk_spin_pair_function", ON_SOFT_LOCKUP, task="kdk-spin-[01]", in_interrupt=None,
            noticed_by="queued_spin_lock_slowpath",
            finding=r"2 CPUs wait for each other: CPU ([01]) \(kdk-spin-\1 .* spins on spinlock .*kmalloc.*held by CPU (?!\1)([01]) \(kdk-spin-\2"),
    Failure("busy_work", "soft_lockup", "kdk_busy_work_function", ON_SOFT_LOCKUP, task="kworker/.*", in_interrupt=None),
    Failure("rcu_stall", "rcu_stall", "kdk_rcu_stall", ON_RCU_STALL, in_interrupt=None),
    # Only the other CPU can notice it here (no performance counters in QEMU), and it waits half a minute for an answer.
    Failure("hard_lockup", "hard_lockup", "kdk_hard_lockup", ON_HARD_LOCKUP, task=".*", in_interrupt=None,
            kernels=("6.12-cloud-arm64",), timeout=240),
    Failure("init", "init_died", "do_exit", commands="exit 3", task="init"),
    Failure("sysrq", "sysrq_crash", "sysrq_handle_crash", commands="(echo c >/proc/sysrq-trigger) &", task="(init|sh)"),
    Failure("nmi", "watchdog_nmi", ".*", commands=f"echo 1 >{SYSCTL}/unknown_nmi_panic", by_host="nmi", task=".*", in_interrupt=None,
            kernels=X86_64),
]
BAD_CALL = {"function": "execute_location", "line": "func();"}
BAD_COPY = {"noticed_by": "usercopy_abort"}
SLAB_COPY = {"function": "do_usercopy_slab_size", **BAD_COPY}
PAGE_COPY = {"line": "copy_to_user((void __user *)uaddr, kaddr, unconst + PAGE_SIZE)", "function": "do_usercopy_page_span"}
NO_KFENCE = "echo 0 >/sys/module/kfence/parameters/sample_interval"
COUNTED = {"before": ON_WARNING, "noticed_by": "refcount_warn_saturate"}
FAILURES += [
    lkdtm("PANIC", "panic", "panic("),
    lkdtm("PANIC_STOP_IRQOFF", "panic", 'panic("panic stop', function="panic_stop_irqoff_fn", task="migration/.*"),
    lkdtm("BUG", "bug_on", "BUG()"),
    lkdtm("WARNING", "warn_panic", "WARN_ON(", before=ON_WARNING),
    lkdtm("WARNING_MESSAGE", "warn_panic", "WARN(", before=ON_WARNING),
    lkdtm("EXCEPTION", "null_deref", "volatile int *) 0"),
    lkdtm("EXHAUST_STACK", "stack_overflow", "", function="recursive_loop", in_interrupt=None),
    lkdtm("CORRUPT_STACK", "stack_protector", "", noticed_by="__stack_chk_fail"),
    lkdtm("CORRUPT_STACK_STRONG", "stack_protector", "", noticed_by="__stack_chk_fail"),
    lkdtm("STACK_GUARD_PAGE_LEADING", "bad_paging", "byte = *ptr"),
    lkdtm("STACK_GUARD_PAGE_TRAILING", "bad_paging", "byte = *ptr"),
    lkdtm("ARRAY_BOUNDS", "ubsan", "= 'B'", before=ON_WARNING, noticed_by="__ubsan_handle_out_of_bounds"),
    lkdtm("CORRUPT_LIST_ADD", "list_corruption", "list_add(&bad.node", before=ON_WARNING, noticed_by="__list_add_valid_or_report"),
    lkdtm("CORRUPT_LIST_DEL", "list_corruption", "list_del(&item.node);", before=ON_WARNING, noticed_by="__list_del_entry_valid_or_report"),
    lkdtm("CORRUPT_PAC", "fpac", "CORRUPT_PAC_ITERATE; i++"),  # where it was to return to
    lkdtm("CFI_BACKWARD", "fpac", ""),
    lkdtm("VMALLOC_LINEAR_OVERFLOW", "bad_paging", "memset(", noticed_by="memset"),
    lkdtm("KFENCE_READ_AFTER_FREE", "kfence", "saw = base", before=ON_WARNING,
          finding="allocated in lkdtm_KFENCE_READ_AFTER_FREE by task [0-9]+, and freed in lkdtm_KFENCE_READ_AFTER_FREE by task"),
    lkdtm("SLAB_FREE_DOUBLE", "slab_corruption", "kmem_cache_free", before=NO_KFENCE, noticed_by="free"),
    lkdtm("SLAB_FREE_CROSS", "slab_corruption", "kmem_cache_free(b_cache", before=ON_WARNING, noticed_by="kmem_cache_free|cache_from_obj"),
    lkdtm("SLAB_FREE_PAGE", "slab_corruption", "kmem_cache_free(NULL", before=ON_WARNING, noticed_by="kmem_cache_free|cache_from_obj"),
    lkdtm("SOFTLOCKUP", "soft_lockup", "cpu_relax", before=ON_SOFT_LOCKUP, in_interrupt=None),
    lkdtm("LOOP", "soft_lockup", "for (;;)", before=ON_SOFT_LOCKUP, in_interrupt=None),
    lkdtm("HARDLOCKUP", "hard_lockup", "cpu_relax", before=ON_HARD_LOCKUP, task=".*", in_interrupt=None, timeout=240),
    lkdtm("SMP_CALL_LOCKUP", "soft_lockup", "smp_call_function_single(", before=ON_SOFT_LOCKUP, in_interrupt=None),
    lkdtm("SPINLOCKUP", "soft_lockup", "spin_lock(", before=ON_SOFT_LOCKUP, commands="plant SPINLOCKUP; sleep 1; plant SPINLOCKUP",
          in_interrupt=None, noticed_by="queued_spin_lock_slowpath"),
    lkdtm("HUNG_TASK", "hung_task", "schedule();", before=ON_HUNG_TASK, noticed_by="schedule"),
    lkdtm("WRITE_RO", "bad_paging", "*ptr ^=", title="read-only"),
    lkdtm("WRITE_RO_AFTER_INIT", "bad_paging", "*ptr ^=", title="read-only"),
    lkdtm("WRITE_KERN", "bad_paging", "memcpy(", noticed_by="memcpy", title="read-only"),
    lkdtm("EXEC_DATA", "bad_paging", noticed_by="^data_area$", title="no code", **BAD_CALL),
    lkdtm("EXEC_STACK", "bad_paging", noticed_by="^0x", title="no code", **BAD_CALL),
    lkdtm("EXEC_KMALLOC", "bad_paging", noticed_by="^0x", title="no code", **BAD_CALL),
    lkdtm("EXEC_VMALLOC", "bad_paging", noticed_by="^0x", title="no code", **BAD_CALL),
    lkdtm("EXEC_RODATA", "bad_paging", noticed_by="^lkdtm_rodata_do_nothing$", title="no code", **BAD_CALL),
    lkdtm("EXEC_USERSPACE", "bad_paging", "func();", inlined="execute_user_location", noticed_by="^0x", title="Execution of user memory"),
    lkdtm("EXEC_NULL", "null_deref", **BAD_CALL),
    lkdtm("ACCESS_USERSPACE", "bad_paging", "tmp ", title="user memory"),  # read and added to in one
    lkdtm("ACCESS_NULL", "null_deref", "tmp = *ptr"),
    lkdtm("REFCOUNT_INC_OVERFLOW", "refcount", "refcount_inc(&over)", **COUNTED),
    lkdtm("REFCOUNT_ADD_NOT_ZERO_OVERFLOW", "refcount", "refcount_add_not_zero(6", **COUNTED),
    lkdtm("REFCOUNT_DEC_ZERO", "refcount", "refcount_dec(&zero)", **COUNTED),
    lkdtm("REFCOUNT_SUB_AND_TEST_NEGATIVE", "refcount", "refcount_sub_and_test(5", **COUNTED),
    lkdtm("REFCOUNT_INC_ZERO", "refcount", "refcount_inc(&zero)", **COUNTED),
    lkdtm("REFCOUNT_INC_SATURATED", "refcount", "refcount_inc(&sat)", **COUNTED),
    lkdtm("REFCOUNT_ADD_ZERO", "refcount", "refcount_add(3, &zero)", **COUNTED),
    lkdtm("REFCOUNT_DEC_NEGATIVE", "refcount", "refcount_dec(&neg)", **COUNTED),
    lkdtm("USERCOPY_SLAB_SIZE_TO", "usercopy", "copy_to_user(test_user_addr, test_kern_addr, size)", **SLAB_COPY),
    lkdtm("USERCOPY_SLAB_SIZE_FROM", "usercopy", "copy_from_user(test_kern_addr, test_user_addr, size)", **SLAB_COPY),
    lkdtm("USERCOPY_SLAB_WHITELIST_FROM", "usercopy", "copy_from_user(buf + offset - 1", function="do_usercopy_slab_whitelist", **BAD_COPY),
    lkdtm("USERCOPY_STACK_BEYOND", "usercopy", "copy_to_user((void __user *)user_addr, bad_stack", function="do_usercopy_stack", **BAD_COPY),
    lkdtm("USERCOPY_FOLIO", "usercopy", **PAGE_COPY, **BAD_COPY),
    lkdtm("USERCOPY_VMALLOC", "bad_paging", **PAGE_COPY, noticed_by="__arch_copy_to_user"),
    lkdtm("USERCOPY_KERNEL", "usercopy", "copy_to_user((void __user *)user_addr, vm_mmap", **BAD_COPY),
    lkdtm("FORTIFY_STR_OBJECT", "fortify", "strncpy(", noticed_by="fortify"),
    lkdtm("FORTIFY_STR_MEMBER", "fortify", "strncpy(", noticed_by="fortify"),
    lkdtm("FORTIFY_MEM_OBJECT", "fortify", "memcpy(&target, &before", noticed_by="fortify"),
    lkdtm("FORTIFY_MEM_MEMBER", "fortify", "memcpy(target.a, src", before=ON_WARNING),
    lkdtm("FORTIFY_STRSCPY", "fortify", "strscpy(", noticed_by="fortify"),
]


class Planted(e2e.TestCase):
    """One test for each failure, made below."""
    planted: planted.Planted

    def one(self, failure: Failure) -> None:
        report, console = self.report(failure)
        if report["summary"]["function"] is None:
            # QEMU stops the CPU wherever it is, once in a hundred times in the first instructions of an interrupt, where no stack can be
            # walked. (A crash kernel takes the registers where they can.)
            print(f"{failure.name}: again, stopped at", self.frames(report)[:3], flush=True)
            report, console = self.report(failure)
        said, crash = report["summary"], report["crash"]
        context = "\n".join([json.dumps(said, indent=1), *self.frames(report), *console.splitlines()[-60:]])
        self.assertIn(said["class"], failure.classes.split(), context)
        self.assertRegex(said["title"], failure.title, context)
        self.assertRegex(said["function"] or "", f"^{failure.function}$", context)
        if failure.function.startswith("kdk_"):
            self.assertEqual("kdk_plant", said["module"], context)
        self.assertRegex(said["task"]["comm"] or "", f"^{failure.task}$", context)
        if failure.noticed_by:
            self.assertRegex(said["noticed_by"] or "", failure.noticed_by, context)
        if failure.name in MARKED and failure.function.startswith("kdk_") and not failure.task.startswith("kdk-"):
            self.assertIn(MARKED[failure.name], self.lines(report, said["function"]), context)
        if failure.line:
            lines = self.lines(report, said["function"]) | {(Path(said["file"]).name, said["line"])}
            right = lines_in(self.planted.kernel.lkdtm, failure.inlined or said["function"], failure.line)
            self.assertTrue(lines & right, f"{lines}, not {right}\n{context}")
        if failure.finding:
            self.assertTrue(any(re.search(failure.finding, finding["title"]) for finding in report["findings"]),
                            f"{report['findings']}\n{context}")
        if failure.in_interrupt is not None:
            self.assertEqual(failure.in_interrupt, crash["class"]["in_interrupt"], context)

    def test_what_goes_nowhere(self) -> None:
        """A worker that spins for many seconds: its pool, and what gets no time behind it, are named. And a connection, with the files of
        its ends."""
        commands = ["ifconfig lo 127.0.0.1 up", "(sleep 99 | nc -l -p 4711 >/dev/null) & sleep 1",
                    "(sleep 99 | nc 127.0.0.1 4711 >/dev/null) & sleep 1",
                    "for cpu in 1 2; do taskset $cpu sh -c 'while :; do :; done' & done",  # one of these cannot go on
                    f"echo 6 >{SYSCTL}/watchdog_thresh", f"echo 1 >{SYSCTL}/softlockup_panic", "plant busy_work"]
        dump, _ = self.planted.broken("; ".join(commands), "", 180)
        given = [dump, "--vmlinux", self.planted.kernel.vmlinux, "--json"]
        works = self.run_json("kdump-analyze", "workqueue", *given)
        spins = [(pool, worker) for pool in works["pools"] for worker in pool["busy"]
                 if worker["work"]["function"].startswith("kdk_busy_work_function")]
        self.assertEqual(1, len(spins), works["pools"])
        pool, worker = spins[0]
        self.assertEqual("events", worker["work"]["workqueue"], pool)
        self.assertIn("kdk_work_behind_function", {work["function"].split()[0] for work in pool["pending"]}, pool)
        self.assertGreater(pool["no_progress_us"], 5_000_000)
        queue = next(each for each in self.run_json("kdump-analyze", "runq", *given)["cpus"] if each["cpu"] == pool["cpu"])
        self.assertEqual(worker["task"]["pid"], queue["current"]["pid"])
        self.assertTrue(any(task["queued_us"] > 5_000_000 for task in queue["queued"] if task["queued_us"]), queue)
        report = self.run_json("kdump-analyze", "report", *given)
        self.assertIn("starved_tasks", [finding["name"] for finding in report["findings"]], report["findings"])
        given += ["--redact", "none"]
        sockets = {(one["local"].replace("[::ffff:127.0.0.1]", "127.0.0.1"), one["remote"], one["state"])
                   for space in self.run_json("kdump-analyze", "net", *given, "-s")["namespaces"] for one in space["sockets"]}
        self.assertIn(("127.0.0.1:4711", "ESTABLISHED"), {(local, state) for local, _, state in sockets}, sockets)
        ends = [file["socket"] for process in self.run_json("kdump-analyze", "files", *given, "nc")["processes"]
                for file in process["files"] if file["socket"]]
        self.assertEqual(2, len([end for end in ends if end["state"] == "ESTABLISHED"]), ends)

    def report(self, failure: Failure) -> tuple[dict, str]:
        commands = failure.commands or f"plant {failure.name}"
        dump, console = self.planted.broken(f"{failure.before}; {commands}", failure.by_host, failure.timeout)
        modules = ["--debug-dir", self.planted.module.parent] if self.planted.module else []
        return self.run_json("kdump-analyze", "report", dump, "--vmlinux", self.planted.kernel.vmlinux, *modules, "--json"), console

    @staticmethod
    def lines(report: dict, function: str) -> set[tuple[str, int]]:
        """Of the function's frames on the crashing CPU and what was inlined there."""
        return {(Path(place["file"] or "").name, place["line"]) for cpu in report["crash"]["cpus"] for frame in cpu["backtrace"]["frames"]
                if frame["symbol"] and frame["symbol"].split(".")[0] == function for place in [frame, *frame["inlines"]]}

    @staticmethod
    def frames(report: dict) -> list[str]:
        """The crashing CPU's stack."""
        return [f"{frame['symbol']}+{frame['symbol_offset'] or 0:#x} {frame['kind']}" for cpu in report["crash"]["cpus"]
                if cpu["crashed"] for frame in cpu["backtrace"]["frames"]]


def add_test(failure: Failure) -> None:
    setattr(Planted, f"test_{failure.name}", lambda self: self.one(failure))


def main() -> None:
    wanted = sys.argv[2:]
    for failure in FAILURES:
        if KERNEL in failure.kernels and (not wanted or failure.name in wanted):
            add_test(failure)
    if KERNEL in OWN or wanted and "what_goes_nowhere" not in wanted:
        del Planted.test_what_goes_nowhere
    try:
        Planted.planted = planted.Planted(KERNEL)
    except guest.Skip as reason:
        e2e.skip(reason)
    try:
        unittest.main(argv=sys.argv[:1], verbosity=2, warnings="ignore")  # of the sockets to QEMU, which is gone
    finally:
        Planted.planted.close()


if __name__ == "__main__":
    main()
