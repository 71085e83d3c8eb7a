#!/usr/bin/python3
"""Objects of the kernel in a real dump as drgn reads them, against runq, timer, workqueue, irq, mount, files and dev:

  objects.py KDUMP_ANALYZE CONFIGURATION

drgn walks by DWARF what we walk by BTF. Where interrupts are in a maple tree (v6.5), of which Debian's drgn knows nothing, they are
compared by a drgn that does.
"""
import json
import sys

import peers

try:
    import drgn
    from drgn.helpers.linux.cpumask import for_each_possible_cpu
    from drgn.helpers.linux.fs import d_path, for_each_file
    from drgn.helpers.linux.idr import idr_for_each
    from drgn.helpers.linux.list import hlist_for_each_entry, list_for_each_entry
    from drgn.helpers.linux.percpu import per_cpu, per_cpu_ptr
    from drgn.helpers.linux.pid import for_each_task
    from drgn.helpers.linux.radixtree import radix_tree_for_each
    from drgn.helpers.linux.rbtree import rbtree_inorder_for_each_entry
except ImportError as error:
    peers.skip(f"{error}: python3-drgn is needed")
try:
    from drgn.helpers.linux.mapletree import mt_for_each
except ImportError:
    mt_for_each = None


def address(pointer):
    return f"{pointer.value_():#018x}"


class Comparison:
    def __init__(self, analyze, dump, vmlinux):
        self.report = peers.Report()
        self.program = drgn.Program()
        self.program.set_core_dump(str(dump))
        self.program.load_debug_info([str(vmlinux)])
        self.cpus = list(for_each_possible_cpu(self.program))
        self.ours = lambda *words: json.loads(peers.run(analyze, words[0], dump, *words[1:], "--vmlinux", vmlinux, "--json"))

    def equal(self, what, ours, theirs, least=1):
        """Both are the same, and at least so many."""
        wrong = [] if ours == theirs else [f"ours {ours}", f"drgn {theirs}"]
        self.report.check(f"{what}: {len(theirs)}", wrong if len(theirs) >= least else ["too few"])

    def members(self, mask):
        """Of a struct cpumask, as far as there are CPUs."""
        return [cpu for cpu in self.cpus if int(mask.bits[cpu // 64]) >> cpu % 64 & 1]

    def run_queues(self):
        theirs = {}
        for cpu in self.cpus:
            queue = per_cpu(self.program["runqueues"], cpu)
            theirs[cpu] = (address(queue.address_of_()), int(queue.nr_running), address(queue.curr), int(queue.clock) // 1000)
        ours = {one["cpu"]: (one["address"], one["nr_running"], one["current"]["address"], one["clock_us"])
                for one in self.ours("runq")["cpus"]}
        self.equal("run queues", ours, theirs)

    def timers(self):
        theirs = set()
        for cpu in self.cpus:
            for base in per_cpu(self.program["timer_bases"], cpu):
                for head in base.vectors:
                    for timer in hlist_for_each_entry("struct timer_list", head.address_of_(), "entry"):
                        theirs.add((cpu, address(timer), int(timer.expires), int(timer.function)))
            for base in per_cpu(self.program["hrtimer_bases"], cpu).clock_base:
                for timer in rbtree_inorder_for_each_entry("struct hrtimer", base.active.rb_root.rb_root.address_of_(), "node.node"):
                    theirs.add((cpu, address(timer), int(timer.node.expires), int(timer.function)))
        found = self.ours("timer")
        ours = {(cpu["cpu"], timer["address"], int(timer["expires"], 16), int(timer["function_address"], 16))
                for cpu in found["cpus"] for timer in cpu["timers"]}
        self.equal("timers", ours, theirs, 10)
        keeper = self.program["tk_core"].timekeeper.tkr_mono
        now = int(keeper.base) + (int(keeper.xtime_nsec) >> int(keeper.shift))
        # The timekeeper counts up to its last update, which is within a tick or two of that of jiffies.
        off = abs(now // 1000 - found["clock"]["monotonic_us"])
        self.report.check("the clock", [] if off < 3 * found["clock"]["tick_us"] else [f"{off} us off"])

    def workqueues(self):
        pools = {int(pool.id): (address(pool), int(pool.nr_workers), int(pool.nr_idle))
                 for _, entry in idr_for_each(self.program["worker_pool_idr"].address_of_())
                 for pool in [drgn.cast("struct worker_pool *", entry)]}
        queues = [queue.name.string_().decode() for queue in
                  list_for_each_entry("struct workqueue_struct", self.program["workqueues"].address_of_(), "list")]
        found = self.ours("workqueue")
        self.equal("worker pools", {one["id"]: (one["address"], one["workers"], one["idle_workers"]) for one in found["pools"]}, pools, 4)
        self.equal("workqueues", [one["name"] for one in found["workqueues"]], queues, 20)

    def interrupts(self):
        if "irq_desc_tree" in self.program:
            found = radix_tree_for_each(self.program["irq_desc_tree"].address_of_())
        elif mt_for_each:
            found = ((first, entry) for first, _, entry in mt_for_each(self.program["sparse_irqs"].address_of_()))
        else:
            return
        theirs = {}
        for number, entry in found:
            desc = drgn.cast("struct irq_desc *", entry)
            names, action = [], desc.action
            while action:
                names.append((address(action), action.name.string_().decode() if action.name else None))
                action = action.next
            chip, masks = desc.irq_data.chip, desc.irq_common_data
            allowed, used = (self.members(mask[0]) for mask in (masks.affinity, masks.effective_affinity))
            # One member of a structure since v6.10 (86d2a2f51fba, "genirq: Convert kstat_irqs to a struct").
            counts = [per_cpu_ptr(desc.kstat_irqs, cpu)[0] for cpu in self.cpus]
            counts = [int(count.cnt if count.type_.kind == drgn.TypeKind.STRUCT else count) for count in counts]
            theirs[number] = (address(desc), chip.name.string_().decode() if chip and chip.name else None, int(desc.irq_data.hwirq), names,
                              counts, allowed, used)
        ours = {line["irq"]: (line["address"], line["chip"], line["hardware_irq"],
                              [(one["address"], one["name"]) for one in line["handlers"]], [one["count"] for one in line["counts"]],
                              line["affinity"], line["effective_affinity"])
                for line in self.ours("irq")["lines"]}
        self.equal("interrupts", ours, theirs, 5)

    def mounts(self):
        space = self.program["init_task"].nsproxy.mnt_ns
        try:
            mounts = list_for_each_entry("struct mount", space.list.address_of_(), "mnt_list")
        except AttributeError:
            mounts = rbtree_inorder_for_each_entry("struct mount", space.mounts.address_of_(), "mnt_node")
        theirs = {address(mount): (mount.mnt_devname.string_().decode(), mount.mnt.mnt_sb.s_type.name.string_().decode(),
                                   d_path(mount.mnt.address_of_(), mount.mnt.mnt_root).decode()) for mount in mounts}
        ours = {mount["address"]: (mount["source"], mount["type"], mount["target"])
                for mount in self.ours("mount", "--redact", "none")["mounts"]}
        self.equal("mounts", ours, theirs, 3)

    def files(self):
        theirs, pids = {}, []
        for task in for_each_task(self.program):
            if not task.mm or not task.files:
                continue
            pids.append(str(int(task.pid)))
            for fd, file in for_each_file(task):
                if file.f_path.dentry.d_sb.s_type.name.string_() in (b"pipefs", b"sockfs", b"anon_inodefs"):
                    continue  # whose names Debian's drgn does not make
                theirs[int(task.pid), fd] = (address(file), d_path(file.f_path).decode())
        found = self.ours("files", *pids, "--redact", "none")
        ours = {(process["task"]["pid"], file["fd"]): (file["address"], file["path"]) for process in found["processes"]
                for file in process["files"] if file["file_system"] not in ("pipefs", "sockfs", "anon_inodefs")}
        self.equal(f"files of {len(pids)} processes", ours, theirs, 5)

    def disks(self):
        theirs = {}
        superblock = self.program["blockdev_superblock"]
        for inode in list_for_each_entry("struct inode", superblock.s_inodes.address_of_(), "i_sb_list"):
            device = drgn.container_of(inode, "struct bdev_inode", "vfs_inode").bdev
            if device.bd_disk:
                theirs[address(device.address_of_())] = (device.bd_disk.disk_name.string_().decode(), int(device.bd_nr_sectors) * 512)
        ours = {disk["block_device"]: (disk["name"], disk["size_bytes"]) for disk in self.ours("dev")["disks"] if disk["partition"] == 0}
        self.equal("disks", ours, theirs)

    def network(self):
        theirs = {address(device): (device.name.string_().decode(), int(device.ifindex), int(device.mtu)) for device in
                  list_for_each_entry("struct net_device", self.program["init_net"].dev_base_head.address_of_(), "dev_list")}
        ours = {one["address"]: (one["name"], one["index"], one["mtu"]) for space in self.ours("net")["namespaces"]
                for one in space["interfaces"]}
        self.equal("network interfaces", ours, theirs)


def main():
    analyze, config = sys.argv[1:]
    run = peers.guest_run(config)
    comparison = Comparison(analyze, run / "full.elf", json.loads((run / "run.json").read_text())["vmlinux"])
    for each in (comparison.run_queues, comparison.timers, comparison.workqueues, comparison.interrupts, comparison.mounts,
                 comparison.files, comparison.disks, comparison.network):
        each()
    comparison.report.exit()


if __name__ == "__main__":
    main()
