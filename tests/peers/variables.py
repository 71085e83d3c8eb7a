#!/usr/bin/python3
"""Arguments and local variables of the CPU that crashed, as drgn has them from the same crash:

  variables.py KDUMP_CAPTURE KDUMP_ANALYZE CONFIGURATION

Function by function, inlined ones included: the same names; a value where drgn has one, and the same one: numbers,
pointers, enumerators; of structs and arrays where they are. What drgn calls absent must not be known to us, but for what
call sites tell (DW_OP_entry_value), which drgn does not look at. drgn 0.0.22 adds the KASLR offset to addresses of what
is on the stack: those are taken as they should be. (Of arm64 it knows the innermost frame only.)
"""
import json
import re
import sys
import tempfile
from pathlib import Path

import peers

try:
    import drgn
except ImportError as error:
    peers.skip(f"{error}: python3-drgn is needed")


def plain(name):
    return (name or "?").split(".")[0]


def ours(analyze, dump, vmlinux):
    """[(function, {name: item})] of the functions that have any."""
    answer = json.loads(peers.run(analyze, "bt", dump, "--vmlinux", vmlinux, "-v", "--json"))
    index = next(i for i, cpu in enumerate(answer["crash"]["cpus"]) if cpu["crashed"])
    return [(plain(function["function"]), function["items"]) for function in answer["variables"][index]]


def kaslr_offset(analyze, dump):
    return int(json.loads(peers.run(analyze, "info", dump, "--json"))["identity"]["kaslr_offset"] or "0", 16)


def theirs(dump, vmlinux):
    program = drgn.Program()
    program.set_core_dump(str(dump))
    program.load_debug_info([str(vmlinux)])
    found = []
    for frame in program.crashed_thread().stack_trace():
        try:
            names = frame.locals()
        except (LookupError, ValueError):
            continue
        if names:
            found.append((plain(frame.name), [(name, value_of(frame, name)) for name in names]))
    return found


def value_of(frame, name):
    """("absent",), ("value", int), ("at", address) or ("unread",)."""
    try:
        variable = frame[name]
        if variable.absent_:
            return ("absent",)
        kind = variable.type_
        while kind.kind == drgn.TypeKind.TYPEDEF:
            kind = kind.type
        if kind.kind in (drgn.TypeKind.INT, drgn.TypeKind.BOOL, drgn.TypeKind.ENUM, drgn.TypeKind.POINTER):
            return ("value", int(variable.value_()))
        return ("at", variable.address_)
    except drgn.FaultError:
        return ("unread",)
    except Exception as error:  # of drgn's own, which has no other class for it
        if "unknown DWARF expression opcode 0xa3" not in str(error):  # DW_OP_entry_value
            raise
        return ("absent",)


def number(text):
    """What is printed, as drgn's value: 0x10 symbol, 'c', true, NULL, name (5), -1."""
    special = {"NULL": 0, "true": 1, "false": 0}
    if text in special:
        return special[text]
    if quoted := re.fullmatch(r"'(.)'", text):
        return ord(quoted.group(1))
    if enumerator := re.fullmatch(r"\w+ \((-?\d+)\)", text):
        return int(enumerator.group(1))
    return int(text.split()[0], 0)


def compare(item, value, kaslr):
    """None when they agree; else what is wrong."""
    known = item["state"] == "known"
    if value[0] == "absent":
        return None  # a call site may tell; or it is nowhere
    if value[0] == "unread":
        return f"{item} but drgn cannot read it" if known else None
    if not known:
        return f"{item} but drgn has {value}"
    if value[0] == "at":
        same = value[1] is None or item["address"] is None or (value[1] - int(item["address"], 16)) % 2**64 in (0, kaslr)
    else:
        same = number(item["value"]) % 2**64 == value[1] % 2**64
    return None if same else f"{item} but drgn has {value}"


def main():
    capture, analyze, config = sys.argv[1:]
    run = peers.guest_run(config)
    vmlinux = json.loads((run / "run.json").read_text())["vmlinux"]
    report = peers.Report()
    with tempfile.TemporaryDirectory() as directory:
        dump = Path(directory, "dump")
        peers.run(capture, "save", run / "full.elf", dump, "-d", "31", "--compress", "lzo", "--progress", "none")
        mine, other, kaslr = ours(analyze, dump, vmlinux), theirs(dump, vmlinux), kaslr_offset(analyze, dump)
    wrong, compared, values, absent_there = [], 0, 0, 0
    # drgn's trace may begin outside panic()'s innermost functions, and end earlier: those that both have, in order.
    at = 0
    for function, items in other:
        found = next((i for i in range(at, len(mine)) if mine[i][0] == function), None)
        if found is None:
            continue
        at = found + 1
        by_name = {}
        for item in mine[found][1]:
            by_name.setdefault(item["name"], []).append(item)
        for name, value in items:
            if len(by_name.get(name, [])) != 1 or [n for n, _ in items].count(name) != 1:
                continue  # of nested blocks
            compared += 1
            values += value[0] in ("value", "at")
            absent_there += value[0] == "absent" and by_name[name][0]["state"] == "known"
            if problem := compare(by_name[name][0], value, kaslr):
                wrong.append(f"{function}: {problem}")
    print(f"{len(mine)} functions of ours, {len(other)} of drgn's; {absent_there} values that drgn does not have")
    report.check(f"drgn has the same {values} values among {compared} variables",
                 wrong if wrong or compared >= 20 else [f"only {compared} compared"])
    report.exit()


if __name__ == "__main__":
    main()
