#!/usr/bin/python3
"""Structs of a real dump as drgn reads them with DWARF, against `struct` and `print`, which read them with BTF:

  kernel_types.py KDUMP_CAPTURE KDUMP_ANALYZE CONFIGURATION

Every member of task_struct of several tasks, mm_struct, and what walks over a list, a tree, an xarray and a maple tree
lead to. Pointers by value, enums by name, bit fields, arrays of characters, arrays element by element.
"""
import json
import sys
import tempfile
from pathlib import Path

import peers

try:
    import drgn
    from drgn.helpers.linux import list as drgn_list, pid as drgn_pid
except ImportError as error:
    peers.skip(f"{error}: python3-drgn is needed")

MOST_ELEMENTS = 200  # of an array, as print shows


def number(node):
    return int(node["value"], 16) if "value" in node else None


def members(node):
    """Name -> node; what is in anonymous members belongs to the struct around them."""
    found = {}
    for child in node.get("members", []):
        if child["name"] is None:
            found.update(members(child))
        else:
            found[child["name"]] = child
    return found


def elements(node):
    for child in node["elements"]:
        for _ in range(child.get("repeats", 0) + 1):
            yield child


class Comparison:
    def __init__(self):
        self.compared, self.wrong = 0, []

    def differ(self, path, ours, theirs):
        self.compared += 1
        if ours != theirs:
            self.wrong.append((path, ours, theirs))

    def value(self, path, node, value):
        """One of our nodes against drgn's object."""
        kind = value.type_
        while kind.kind == drgn.TypeKind.TYPEDEF:
            kind = kind.type
        try:
            if kind.kind in (drgn.TypeKind.STRUCT, drgn.TypeKind.UNION):
                ours = members(node)
                for member in kind.members:
                    self.member(path, ours, member, value)
            elif kind.kind == drgn.TypeKind.ARRAY:
                self.array(path, node, kind, value)
            elif kind.kind == drgn.TypeKind.POINTER:
                self.differ(path, number(node), value.value_())
            elif kind.kind == drgn.TypeKind.ENUM:
                named = [name for name, each in kind.enumerators if each == value.value_()]
                self.differ(path, node.get("text"), named[0] if named else None)
            elif kind.kind in (drgn.TypeKind.INT, drgn.TypeKind.BOOL):
                bits = (1 << 64) - 1
                if node["size_bytes"] <= 8:
                    self.differ(path, number(node), int(value.value_()) & bits)
        except drgn.FaultError as error:
            self.differ(path, node["kind"], "unreadable" if error else "")

    def member(self, path, ours, member, value):
        if member.name is None:
            inner = drgn.reinterpret(member.type, drgn.Object(value.prog_, value.type_, address=value.address_ + member.offset))
            for each in member.type.members:
                self.member(path, ours, each, inner)
        elif member.name in ours:
            self.value(f"{path}.{member.name}", ours[member.name], value.member_(member.name))
        else:
            self.wrong.append((f"{path}.{member.name}", "absent", "there"))

    def array(self, path, node, kind, value):
        element = kind.type
        while element.kind == drgn.TypeKind.TYPEDEF:
            element = element.type
        if element.kind == drgn.TypeKind.INT and element.name == "char":
            text = value.string_().decode("latin-1") if kind.length else ""
            self.differ(path, node["text"].split("\\x00")[0], text if text.isprintable() else node["text"].split("\\x00")[0])
            return
        for index, child in zip(range(kind.length or 0), elements(node)):
            self.value(f"{path}[{index}]", child, value[index])
        shown = sum(1 for _ in elements(node)) + node.get("left_out", 0)
        self.differ(path + " (length)", shown, kind.length or 0)


def printed(analyze, dump, vmlinux, *expressions):
    text = peers.run(analyze, "print", dump, "--vmlinux", vmlinux, "--json", *expressions)
    return [[item["value"] for item in e["values"]] for e in json.loads(text)["expressions"]]


def compare_structs(report, analyze, dump, program):
    tasks = [program["init_task"].address_of_()] + [drgn_pid.find_task(program, pid) for pid in (1, 2)]
    tasks += list(drgn_list.list_for_each_entry("struct task_struct", program["init_task"].tasks.address_of_(), "tasks"))[-3:]
    places = [("task_struct", task) for task in tasks]
    places += [("mm_struct", task.mm) for task in tasks if task.mm]
    for name, pointer in places:
        text = peers.run(analyze, "struct", dump, name, hex(pointer.value_()), "--no-debug-info", "--json")
        node = json.loads(text)["expressions"][0]["values"][0]["value"]
        comparison = Comparison()
        comparison.value(name, node, pointer[0])
        report.check(f"{name} at {pointer.value_():#x}: {comparison.compared} values",
                     comparison.wrong or ([] if comparison.compared > 100 else ["too few"]))


def compare_walks(report, analyze, dump, vmlinux, program):
    head = program["init_task"].tasks.address_of_()
    theirs = [task.value_() for task in drgn_list.list_for_each_entry("struct task_struct", head, "tasks")]
    pids = sorted(pid.value_() for pid in drgn_pid.for_each_pid(program))
    ours, entries = printed(analyze, dump, vmlinux, "list(init_task.tasks, struct task_struct, tasks)",
                            "xarray(init_pid_ns.idr.idr_rt, struct pid)")
    report.check(f"list of {len(theirs)} tasks", [(ours, theirs)] if [number(node) for node in ours] != theirs else [])
    report.check(f"xarray of {len(pids)} pids", [(entries, pids)] if sorted(number(node) for node in entries) != pids else [])


def main():
    capture, analyze, config = sys.argv[1:]
    run = peers.guest_run(config)
    vmlinux = json.loads((run / "run.json").read_text())["vmlinux"]
    report = peers.Report()
    with tempfile.TemporaryDirectory() as directory:
        dump = Path(directory) / "dump"
        peers.run(capture, "save", run / "full.elf", dump, "-d", "31", "--compress", "lzo", "--progress", "none")
        program = drgn.Program()
        program.set_core_dump(str(dump))
        program.load_debug_info([str(vmlinux)])
        compare_structs(report, analyze, dump, program)
        compare_walks(report, analyze, dump, vmlinux, program)
    report.exit()


if __name__ == "__main__":
    main()
