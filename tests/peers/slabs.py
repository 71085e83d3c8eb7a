#!/usr/bin/python3
"""The slab caches of a real dump as drgn counts them, against `mem --slabs`, and owners against `mem ADDRESS`:

  slabs.py KDUMP_ANALYZE CONFIGURATION

The totals against the kernel's own counters, by node. Objects in use against drgn, which goes through every allocated
object one by one, where it knows how the kernel marks slabs (a flag, until v6.9).
"""
import json
import sys

import peers

try:
    import drgn
    from drgn.helpers.linux import slab
    from drgn.helpers.linux.list import list_for_each_entry
except ImportError as error:
    peers.skip(f"{error}: python3-drgn is needed")

MOST_OBJECTS = 20_000  # of a cache: drgn takes long for them


def in_use(report, program, ours, theirs):
    """Compares; and returns objects with the names of their caches."""
    try:
        program.constant("PG_slab")
    except LookupError:
        tasks = [task.value_() for task in list_for_each_entry("struct task_struct", program["init_task"].tasks.address_of_(), "tasks")]
        return [(task, "task_struct") for task in tasks]
    wrong, counted, samples = [], 0, []
    for address, cache in theirs.items():
        mine = ours.get(address)
        if mine is None or mine["objects"] > MOST_OBJECTS:
            continue
        objects = list(slab.slab_cache_for_each_allocated_object(cache, "void"))
        counted += 1
        if len(objects) != mine["objects_in_use"]:
            wrong.append((mine["name"], mine["objects_in_use"], len(objects)))
        samples += [(each.value_(), mine["name"]) for each in objects[:1]]
    report.check(f"objects in use of {counted} caches", wrong or ([] if counted > 50 else ["too few"]))
    return samples


def main():
    analyze, config = sys.argv[1:]
    run = peers.guest_run(config)
    vmlinux = json.loads((run / "run.json").read_text())["vmlinux"]
    dump = run / "full.elf"
    program = drgn.Program()
    program.set_core_dump(str(dump))
    program.load_debug_info([str(vmlinux)])
    report = peers.Report()
    ours = {cache["kmem_cache"]: cache for cache in
            json.loads(peers.run(analyze, "mem", dump, "-s", "--vmlinux", vmlinux, "--json"))["slabs"]}
    theirs = {f"{cache.value_():#018x}": cache for cache in slab.for_each_slab_cache(program)}
    report.check(f"the same {len(theirs)} caches", set(ours) ^ set(theirs))
    wrong, nodes = [], int(program["nr_node_ids"]) if "nr_node_ids" in program else 1
    for address, cache in theirs.items():
        mine = ours.get(address, {})
        counters = [cache.node[i] for i in range(nodes)]
        totals = [sum(getattr(node, name).counter.value_() for node in counters) for name in ("nr_slabs", "total_objects")]
        if [mine.get("slabs"), mine.get("objects")] != totals or mine["name"] != cache.name.string_().decode():
            wrong.append((mine.get("name"), mine.get("slabs"), mine.get("objects"), totals))
    report.check(f"slabs and objects of {len(theirs)} caches", wrong)
    samples = in_use(report, program, ours, theirs)
    asked = [hex(address + 1) for address, _ in samples]
    owners = json.loads(peers.run(analyze, "mem", dump, *asked, "--vmlinux", vmlinux, "--json"))["addresses"]
    wrong = [(seen["owner"]["name"], name, seen["in_use"]) for seen, (address, name) in zip(owners, samples)
             if (seen["owner"]["kind"], seen["owner"]["name"], seen["in_use"], seen["owner"]["start"])
             != ("slab", name, True, f"{address:#018x}")]
    report.check(f"owners of {len(samples)} addresses", wrong)
    report.exit()


if __name__ == "__main__":
    main()
