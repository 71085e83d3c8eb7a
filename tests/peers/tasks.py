#!/usr/bin/python3
"""Every task of a dump as drgn has it from the same dump:

  tasks.py KDUMP_CAPTURE KDUMP_ANALYZE CONFIGURATION | tasks.py KDUMP_ANALYZE DUMP VMLINUX

States, names, memory, times and the stack of every task that was not running: the functions of every frame, inlined ones
included.
"""
import json
import sys
import tempfile
from pathlib import Path

import peers

try:
    import drgn
    from drgn.helpers.linux.cpumask import for_each_possible_cpu
    from drgn.helpers.linux.list import list_for_each_entry
    from drgn.helpers.linux.percpu import per_cpu_ptr
    from drgn.helpers.linux.pid import for_each_task
except ImportError as error:
    peers.skip(f"{error}: python3-drgn is needed")


def open_dump(dump, vmlinux):
    program = drgn.Program()
    program.set_core_dump(str(dump))
    program.load_debug_info([str(vmlinux)])
    return program


def counter_sum(counter):
    """Over all CPUs that can be: drgn's own helper sums those online, and on arm64 stopping a CPU takes it out."""
    return counter.count.value_() + sum(per_cpu_ptr(counter.counters, cpu)[0].value_()
                                        for cpu in for_each_possible_cpu(counter.prog_))


def memory_counts(mm):
    """File, anonymous, swapped and shared pages. Before v6.2 each thread keeps some counts to itself."""
    if not hasattr(mm.rss_stat, "count"):
        return [max(counter_sum(counter), 0) for counter in mm.rss_stat]
    count = [part.counter.value_() for part in mm.rss_stat.count]
    for task in for_each_task(mm.prog_):
        if task.mm == mm and hasattr(task, "rss_stat"):
            count = [a + b.value_() for a, b in zip(count, task.rss_stat.count)]
    return [max(pages, 0) for pages in count]


def processes(report, program, analyze, dump, vmlinux):
    ours = {int(item["address"], 16): item
            for item in json.loads(peers.run(analyze, "ps", dump, "--vmlinux", vmlinux, "--json"))["items"]}
    theirs = {task.value_(): task for task in for_each_task(program) if task.pid.value_() != 0}
    report.check(f"drgn has the same {len(ours)} tasks", ours.keys() ^ theirs.keys())
    page = program["PAGE_SIZE"].value_()
    wrong = []
    for address, task in theirs.items():
        item = ours.get(address)
        if item is None:
            continue
        mm = task.mm
        expected = {"pid": task.pid.value_(), "tgid": task.tgid.value_(), "comm": task.comm.string_().decode(),
                    "ppid": task.real_parent.tgid.value_(), "priority": task.prio.value_(),
                    "runtime_us": task.se.sum_exec_runtime.value_() // 1000,
                    "start_us": task.start_boottime.value_() // 1000,
                    "last_run_us": task.sched_info.last_arrival.value_() // 1000 or None,
                    "voluntary_switches": task.nvcsw.value_(),
                    "vsz_bytes": mm.total_vm.value_() * page if mm else None}
        if mm:
            count = memory_counts(mm)
            expected |= {"rss_bytes": (count[0] + count[1] + count[3]) * page, "swap_bytes": count[2] * page}
        wrong += [(expected["comm"], name, item[name], value) for name, value in expected.items() if item[name] != value]
    report.check("with the same memory, times and counts", wrong)


def modules(report, program, analyze, dump, vmlinux):
    """What is only in the list of modules: who uses whom, references, symbols, sections."""
    ours = {item["name"]: item for item in json.loads(peers.run(analyze, "mod", dump, "--vmlinux", vmlinux, "--json"))["items"]}
    try:
        for module in list_for_each_entry("struct module", program["modules"].address_of_(), "list"):
            module.name.string_()
    except drgn.FaultError:
        print("     this drgn cannot read the memory of modules in this dump (arm64 with 52-bit addresses by build)")
        return
    wrong, names = [], set()
    for module in list_for_each_entry("struct module", program["modules"].address_of_(), "list"):
        name = module.name.string_().decode()
        names.add(name)
        item = ours.get(name)
        if item is None:
            continue
        users = [use.source.name.string_().decode() for use in
                 list_for_each_entry("struct module_use", module.source_list.address_of_(), "source_list")]
        attrs = module.sect_attrs
        sections = [(attrs.attrs[i].battr.attr.name.string_().decode(), attrs.attrs[i].address.value_())
                    for i in range(attrs.nsections.value_())] if hasattr(attrs, "nsections") else None
        expected = {"references": module.refcnt.counter.value_() - 1, "used_by": users,
                    "symbols": module.kallsyms.num_symtab.value_(), "state": "live"}
        wrong += [(name, key, item[key], value) for key, value in expected.items() if item[key] != value]
        if sections is not None:
            mine = [(section["name"], int(section["address"], 16)) for section in item["sections"]]
            wrong += [(name, mine, sections)] if mine != sections else []
    report.check(f"drgn has the same {len(ours)} modules with the same users, symbols and sections", wrong + sorted(names ^ ours.keys()))


def stacks(report, program, analyze, dump, vmlinux):
    """Of every task that was not running. A drgn that cannot read the memory of a stack ends with a frame that has no name:
    such stacks are counted, and nothing is said of them."""
    answer = json.loads(peers.run(analyze, "bt", dump, "--vmlinux", vmlinux, "--all-tasks", "--json"))
    theirs = {task.value_(): task for task in for_each_task(program)}
    try:
        program.stack_trace(1)
    except Exception as error:  # Debian's drgn raises just that  # pylint: disable=broad-except
        print(f"     this drgn cannot walk this kernel's stacks: {error}")
        return
    wrong, same, frames, cut = [], 0, 0, 0
    for stack in answer["stacks"]:
        owner = stack["tasks"][0]
        if owner["on_cpu"] or stack["backtrace"] is None:
            continue
        ours = []
        for frame in stack["backtrace"]["frames"]:
            ours += [inline["function"] for inline in frame["inlines"]] + [frame["symbol"]]
        ours = [name.split(".")[0] for name in ours]
        expected = [(frame.name or "?").split(".")[0] for frame in program.stack_trace(theirs[int(owner["address"], 16)])]
        # The entry code has no DWARF for drgn.
        if "do_syscall_64" in ours and "do_syscall_64" in expected:
            ours, expected = (names[:names.index("do_syscall_64") + 1] for names in (ours, expected))
        if expected[-1] == "?" and expected[:-1] == ours[:len(expected) - 1]:
            cut += len(expected) < len(ours)
            expected = ours
        if ours == expected:
            same += 1
            frames += len(ours)
        else:
            wrong.append((owner["pid"], owner["comm"], ours, expected))
    report.check(f"drgn has the same {frames} functions on the stacks of {same} tasks, {cut} of which it did not follow",
                 wrong or ([] if same > 20 else ["too few"]))


def compare(report, analyze, dump, vmlinux):
    program = open_dump(dump, vmlinux)
    processes(report, program, analyze, dump, vmlinux)
    modules(report, program, analyze, dump, vmlinux)
    stacks(report, program, analyze, dump, vmlinux)


def main():
    report = peers.Report()
    if len(sys.argv) > 3 and Path(sys.argv[2]).is_file() and Path(sys.argv[3]).is_file():
        compare(report, *sys.argv[1:])
    else:
        capture, analyze, config = sys.argv[1:]
        run = peers.guest_run(config)
        vmlinux = json.loads((run / "run.json").read_text())["vmlinux"]
        with tempfile.TemporaryDirectory() as directory:
            # Debian's libkdumpfile knows lzo in every version.
            dump = Path(directory) / "dump"
            peers.run(capture, "save", run / "full.elf", dump, "-d", "31", "--compress", "lzo", "--progress", "none")
            compare(report, analyze, dump, vmlinux)
    report.exit()


if __name__ == "__main__":
    main()
