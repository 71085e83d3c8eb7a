#!/usr/bin/python3
"""libkdumpkit on a real dump, beside kdump-analyze and drgn on the same one:

  library.py KDUMP_ANALYZE LIBRARY_FACTS KDUMP_CAPTURE CONFIGURATION | library.py KDUMP_ANALYZE LIBRARY_FACTS DUMP VMLINUX

The library has the dump alone; kdump-analyze is asked without a vmlinux, so that both must say the same; drgn has the vmlinux.
"""
import json
import sys
import tempfile
from pathlib import Path

import peers

try:
    import drgn
    from drgn.helpers.linux.pid import for_each_task
except ImportError as error:
    peers.skip(f"{error}: python3-drgn is needed")

TYPES = ["task_struct", "list_head", "mm_struct", "file", "inode", "super_block", "module", "page", "zone", "rq", "dentry"]
# Of the kernel's text: what the kernel patches while it runs is no difference between readers of one dump.
SAMPLE = 997


def number(text):
    return int(text, 16)


def flat(members, depth=0):
    """kdump-analyze's members as the library lists them."""
    for member in members:
        yield {"name": member["name"] or "", "declaration": member["declaration"], "offset": member["offset"],
               "size": member["size_bytes"] or 0, "depth": depth}
        yield from flat(member.get("members") or [], depth + 1)


def ask(analyze, dump, command, *arguments):
    options = [] if command == "log" else ["--no-debug-info"]
    return json.loads(peers.run(analyze, command, dump, *arguments, *options, "--json", allowed=(0, 3)))


def beside_analyze(report, facts, analyze, dump):
    tasks = {number(item["address"]): item for item in ask(analyze, dump, "ps")["items"]}
    ours = {task["address"]: task for task in facts["tasks"]}
    report.check(f"{len(tasks)} tasks as kdump-analyze has them", ours.keys() ^ tasks.keys())
    names = ("pid", "tgid", "ppid", "comm", "state", "cpu", "kernel_thread")
    report.check("with the same facts", [(address, name) for address, task in tasks.items() for name in names
                                         if task[name] != ours[address][name]])
    records = ask(analyze, dump, "log")["records"]
    for record in records:  # JSON can have these as they are
        record["text"] = record["text"].replace("\t", "\\x09").replace("\n", "\\x0a")
    report.check(f"{len(records)} log records", [record["seq"] for record, mine in zip(records, facts["log"])
                                                 if any(record[name] != mine[name] for name in mine)])
    report.check("and no others", [] if len(records) == len(facts["log"]) else [(len(records), len(facts["log"]))])
    report.check("the same crash", [] if ask(analyze, dump, "bt")["crash"] == facts["crash"] else ["it differs"])
    modules = {item["name"]: (number(item["address"]), item["size_bytes"], item["build_id"] or "")
               for item in ask(analyze, dump, "mod")["items"]}
    mine = {item["name"]: (item["address"], item["size"], item["build_id"]) for item in facts["modules"]}
    report.check(f"{len(modules)} modules", [] if modules == mine else [(modules, mine)])
    for type_ in facts["types"]:
        layout = ask(analyze, dump, "struct", type_["name"])
        members = [{name: member[name] for name in ("name", "declaration", "offset", "size", "depth")}
                   for member in type_["members"]]
        same = layout["size_bytes"] == type_["size"] and list(flat(layout["members"])) == members
        report.check(f"{type_['name']} with {len(members)} members", [] if same else ["it differs"])
    frames = {}
    for stack in ask(analyze, dump, "bt", "--all-tasks")["stacks"]:
        for owner in stack["tasks"]:
            trace = stack.get("backtrace") or {}
            frames[number(owner["address"])] = [number(frame["pc"]) for frame in trace.get("frames") or []]
    wrong = [address for address, pcs in frames.items() if [f["pc"] for f in ours[address].get("frames", [])] != pcs]
    report.check(f"the stacks of {len(frames)} tasks", wrong)


def beside_drgn(report, facts, dump, vmlinux):
    program = drgn.Program()
    program.set_core_dump(str(dump))
    program.load_debug_info([str(vmlinux)])
    theirs = {task.value_(): task for task in for_each_task(program) if task.pid.value_() != 0}
    ours = {task["address"]: task for task in facts["tasks"]}
    report.check(f"{len(theirs)} tasks as drgn has them", ours.keys() ^ theirs.keys())
    report.check("with the same pid and name", [
        (address, ours[address]["comm"]) for address, task in theirs.items() if address in ours
        and (task.pid.value_(), task.comm.string_().decode()) != (ours[address]["pid"], ours[address]["comm"])])
    wrong, compared = [], 0
    for type_ in facts["types"]:
        known = program.type(f"struct {type_['name'].removeprefix('struct ')}")
        if known.size != type_["size"]:
            wrong.append((type_["name"], known.size, type_["size"]))
        for member in known.members:
            if member.name is None:
                continue
            compared += 1
            same = [m for m in type_["members"] if m["name"] == member.name and m["depth"] == 0]
            if len(same) != 1 or same[0]["offset"] * 8 + same[0]["bit"] != member.bit_offset:
                wrong.append((type_["name"], member.name))
    report.check(f"{compared} members of {len(facts['types'])} types", wrong)
    # A vmlinux has several symbols of one name; the address is what has to be among them.
    sample = [symbol for symbol in facts["symbols"] if symbol[1] == "" and symbol[3] in "TD"][::SAMPLE]
    wrong = []
    for name, _, address, _ in sample:
        try:
            if program.symbol(address).address != address:
                wrong.append((name, hex(address)))
        except LookupError:
            wrong.append((name, hex(address)))
    report.check(f"{len(sample)} symbols where drgn has one", wrong)
    text = facts["text"]
    same = program.read(text["address"], text["readable"]).hex() == text["bytes"][:2 * text["readable"]]
    report.check(f"{text['readable']} bytes of the kernel's text", [] if same else ["they differ"])
    same = program.read(text["physical"], 4096, physical=True).hex() == text["bytes"][:2 * 4096]
    report.check("and by physical address", [] if same else ["they differ"])


def compare(report, analyze, library_facts, dump, vmlinux):
    facts = json.loads(peers.run(library_facts, dump, *TYPES))
    beside_analyze(report, facts, analyze, dump)
    beside_drgn(report, facts, dump, vmlinux)


def main():
    report = peers.Report()
    analyze, library_facts, first, second = sys.argv[1:]
    if Path(second).is_file():
        compare(report, analyze, library_facts, first, second)
    else:
        run = peers.guest_run(second)
        vmlinux = json.loads((run / "run.json").read_text())["vmlinux"]
        with tempfile.TemporaryDirectory() as directory:
            # Debian's libkdumpfile knows lzo in every version.
            dump = Path(directory) / "dump"
            peers.run(first, "save", run / "full.elf", dump, "-d", "31", "--compress", "lzo", "--progress", "none")
            compare(report, analyze, library_facts, dump, vmlinux)
    report.exit()


if __name__ == "__main__":
    main()
