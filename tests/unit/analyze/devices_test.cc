// Interrupts and devices over small kernels made for them.
#include "analyze/inspect/devices.h"

#include <gtest/gtest.h>

#include "analyze/inspect/interrupts.h"
#include "analyze/inspect/object.h"
#include "core/base/error.h"
#include "tests/support/object_machine.h"

namespace kdk {
namespace {

using test::ObjectMachine;

TEST(CpuRanges, AsTheKernelPrintsThem) {
  EXPECT_EQ("none", cpu_ranges({}));
  EXPECT_EQ("0-3,8", cpu_ranges({0, 1, 2, 3, 8}));
  EXPECT_EQ("5", cpu_ranges({5}));
}

class IrqTest : public testing::Test {
 protected:
  IrqTest() {
    test::describe_tasks(m);
    m.structure("cpumask", {{"bits", "u64[1]"}});
    m.structure("irq_chip", {{"name", "char *"}});
    m.structure("irq_data", {{"irq", "u32"}, {"hwirq", "u64"}, {"chip", "irq_chip *"}});
    m.structure(
        "irq_common_data",
        {{"state_use_accessors", "u32"}, {"affinity", "cpumask *"}, {"effective_affinity", "cpumask[1]"}});
    m.structure("irqaction", {{"handler", "void *"},
                              {"next", "irqaction *"},
                              {"thread_fn", "void *"},
                              {"thread", "task_struct *"},
                              {"name", "char *"}});
    m.structure("irq_desc", {{"irq_common_data", "irq_common_data"},
                             {"irq_data", "irq_data"},
                             {"kstat_irqs", "void *"},
                             {"action", "irqaction *"},
                             {"irqs_unhandled", "u32"}});
    m.structure("xarray", {{"xa_flags", "u64"}, {"xa_head", "void *"}});
    m.structure("xa_node", {{"shift", "u8"}, {"slots", "void *[4]"}});
  }
  VirtAddr desc(uint32_t irq) {
    const VirtAddr at = m.object("irq_desc"), chip = m.object("irq_chip"), mask = m.object("cpumask");
    m.set(chip, "irq_chip", "name", m.string("GICv3").value);
    m.set(mask, "cpumask", "bits", 3);
    m.set(at, "irq_desc", "irq_data.irq", irq);
    m.set(at, "irq_desc", "irq_data.hwirq", irq + 100);
    m.set(at, "irq_desc", "irq_data.chip", chip.value);
    m.set(at, "irq_desc", "irq_common_data.affinity", mask.value);
    m.machine.put_u64(m.at(at, "irq_desc", "irq_common_data.effective_affinity"), 2);
    return at;
  }
  VirtAddr action(const std::string& name, const std::string& function, VirtAddr next = {}) {
    const VirtAddr at = m.object("irqaction");
    m.set(at, "irqaction", "name", m.string(name).value);
    m.set(at, "irqaction", "handler", m.function(function).value);
    m.set(at, "irqaction", "next", next.value);
    return at;
  }
  Interrupts read() {
    m.open();
    return read_interrupts(m.types(), {});
  }
  ObjectMachine m;
};

TEST_F(IrqTest, OfARadixTree) {
  const VirtAddr node = m.object("xa_node"), line = desc(3);
  m.machine.put_u64(m.at(m.variable("irq_desc_tree", "xarray"), "xarray", "xa_head"), node.value | 2);
  m.set(node, "xa_node", "slots[3]", line.value);
  m.set(node, "xa_node", "slots[1]", desc(1).value);
  const VirtAddr second = action("shared", "other_handler"), first = action("eth0", "a_handler", second);
  const VirtAddr thread = test::put_task(m, 40, "irq/3-eth0", 1);
  m.set(first, "irqaction", "thread_fn", m.function("a_thread").value);
  m.set(first, "irqaction", "thread", thread.value);
  m.set(line, "irq_desc", "action", first.value);
  m.set(line, "irq_desc", "irq_common_data.state_use_accessors", 1 << 18);
  m.per_cpu("counter", "u32");
  const VirtAddr counter = m.on_cpu("counter", 0) - m.cpu_offset(0);
  m.machine.put_u32(m.on_cpu("counter", 0), 12);
  m.machine.put_u32(m.on_cpu("counter", 1), 30);
  m.set(line, "irq_desc", "kstat_irqs", counter.value);
  const Interrupts found = read();
  EXPECT_TRUE(found.problems.empty());
  ASSERT_EQ(2u, found.lines.size());
  const Interrupt& one = found.lines[1];
  EXPECT_EQ(3u, one.irq);
  EXPECT_EQ("GICv3", one.chip);
  EXPECT_EQ(103u, one.hardware_irq);
  EXPECT_EQ(42u, one.total);
  ASSERT_EQ(2u, one.counts.size());
  EXPECT_EQ(30u, one.counts[1].count);
  EXPECT_EQ((std::vector<unsigned>{0, 1}), one.affinity);
  EXPECT_EQ((std::vector<unsigned>{1}), one.effective_affinity);
  EXPECT_TRUE(one.in_progress);
  ASSERT_EQ(2u, one.handlers.size());
  EXPECT_EQ("eth0", one.handlers[0].name);
  EXPECT_EQ("a_handler", one.handlers[0].function);
  EXPECT_EQ("a_thread", one.handlers[0].thread_function);
  EXPECT_EQ(40, one.handlers[0].thread->task.pid);
  EXPECT_EQ("other_handler", one.handlers[1].function);
}

TEST_F(IrqTest, OfAnArray) {
  const VirtAddr array = m.variable("irq_desc", "irq_desc[2]");
  m.machine.put_u32(m.variable("nr_irqs", "u32"), 2);
  m.set(array + m.size("irq_desc"), "irq_desc", "irq_data.irq", 1);
  EXPECT_EQ(2u, read().lines.size());
}

TEST_F(IrqTest, HandlersInACircleAndBrokenPointersEnd) {
  const VirtAddr line = desc(0), array = m.variable("irq_desc_tree", "xarray");
  m.machine.put_u64(m.at(array, "xarray", "xa_head"), line.value);
  const VirtAddr one = action("a", "f");
  m.set(one, "irqaction", "next", one.value);
  m.set(line, "irq_desc", "action", one.value);
  Interrupts found = read();
  EXPECT_EQ(1u, found.problems.size());
  EXPECT_EQ(1u, found.lines.at(0).handlers.size());
  m.set(line, "irq_desc", "action", 0xdead000000000100);
  m.set(line, "irq_desc", "irq_data.chip", 0xdead000000000100);
  found = read();
  EXPECT_EQ(1u, found.problems.size());
  EXPECT_EQ("", found.lines.at(0).chip);
  m.machine.put_u64(m.at(array, "xarray", "xa_head"), 0xdead000000000100);
  found = read();
  EXPECT_TRUE(found.lines.empty());
  EXPECT_EQ(1u, found.problems.size());
}

TEST_F(IrqTest, WithoutSymbolsTheErrorSaysSo) {
  EXPECT_THROW(read(), Error);
}

class DeviceTest : public testing::Test {
 protected:
  DeviceTest() {
    m.structure("cdev", {{"ops", "void *"}});
    m.structure(
        "probe",
        {{"next", "probe *"}, {"dev", "u32"}, {"range", "u64"}, {"get", "void *"}, {"data", "void *"}});
    m.structure("char_device_struct", {{"next", "char_device_struct *"},
                                       {"major", "u32"},
                                       {"baseminor", "u32"},
                                       {"minorct", "s32"},
                                       {"name", "char[64]"},
                                       {"cdev", "cdev *"}});
    m.structure("blk_major_name", {{"next", "blk_major_name *"}, {"major", "s32"}, {"name", "char[16]"}});
    m.structure("disk_stats", {{"in_flight", "u64[2]"}});
    m.structure("elevator_type", {{"elevator_name", "char *"}});
    m.structure("elevator_queue", {{"type", "elevator_type *"}});
    m.structure("blk_mq_tags", {{"nr_tags", "u32"}, {"rqs", "void *"}, {"static_rqs", "void *"}});
    m.structure("blk_mq_tag_set", {{"nr_hw_queues", "u32"}, {"tags", "void *"}});
    m.structure("blk_mq_hw_ctx", {{"sched_tags", "blk_mq_tags *"}});
    m.structure("request_queue", {{"elevator", "elevator_queue *"},
                                  {"nr_hw_queues", "u32"},
                                  {"queue_hw_ctx", "void *"},
                                  {"tag_set", "blk_mq_tag_set *"},
                                  {"sched_shared_tags", "blk_mq_tags *"},
                                  {"mq_freeze_depth", "s32"},
                                  {"quiesce_depth", "s32"}});
    m.structure("request", {{"q", "request_queue *"},
                            {"cmd_flags", "u32"},
                            {"tag", "s32"},
                            {"__sector", "u64"},
                            {"__data_len", "u32"},
                            {"start_time_ns", "u64"},
                            {"state", "u32"},
                            {"ref", "u32"}});
    m.enumeration("req_op", {{"REQ_OP_READ", 0}, {"REQ_OP_WRITE", 1}, {"REQ_OP_FLUSH", 2}});
    m.enumeration("mq_rq_state", {{"MQ_RQ_IDLE", 0}, {"MQ_RQ_IN_FLIGHT", 1}, {"MQ_RQ_COMPLETE", 2}});
    m.structure(
        "gendisk",
        {{"disk_name", "char[32]"}, {"fops", "void *"}, {"queue", "request_queue *"}, {"state", "u64"}});
    m.structure("block_device", {{"bd_nr_sectors", "u64"},
                                 {"bd_disk", "gendisk *"},
                                 {"bd_stats", "void *"},
                                 {"__bd_flags", "u32"},
                                 {"bd_dev", "u32"},
                                 {"bd_openers", "u32"}});
    m.structure("inode", {{"i_sb_list", "list_head"}});
    m.structure("bdev_inode", {{"bdev", "block_device"}, {"vfs_inode", "inode"}});
    m.structure("super_block", {{"s_inodes", "list_head"}});
    characters = m.variable("chrdevs", "void *[255]");
    blocks = m.variable("major_names", "void *[255]");
    super = m.object("super_block");
    m.machine.put_u64(m.variable("blockdev_superblock", "void *"), super.value);
    m.machine.put_u64(m.variable("last_jiffies_update", "u64"), 20'000'000'000);
    disk = m.object("gendisk");
    queue = m.object("request_queue");
    m.machine.put_text(m.at(disk, "gendisk", "disk_name"), "vda");
    m.set(disk, "gendisk", "queue", queue.value);
  }
  VirtAddr device(uint32_t partition, uint64_t sectors) {
    const VirtAddr at = m.object("bdev_inode");
    m.set(at, "bdev_inode", "bdev.bd_disk", disk.value);
    m.set(at, "bdev_inode", "bdev.bd_nr_sectors", sectors);
    m.set(at, "bdev_inode", "bdev.__bd_flags", partition | 0x100);
    m.set(at, "bdev_inode", "bdev.bd_dev", 254u << 20 | partition);
    inodes.push_back(m.at(at, "bdev_inode", "vfs_inode.i_sb_list"));
    return at;
  }
  VirtAddr request(uint32_t tag, uint32_t operation, uint32_t state, uint64_t begun = 0) {
    const VirtAddr at = m.object("request");
    m.set(at, "request", "q", queue.value);
    m.set(at, "request", "cmd_flags", operation | 0x8000);
    m.set(at, "request", "tag", tag);
    m.set(at, "request", "state", state);
    m.set(at, "request", "ref", 1);
    m.set(at, "request", "start_time_ns", begun);
    m.set(at, "request", "__data_len", 4096);
    return at;
  }
  VirtAddr tags(const std::string& array, const std::vector<VirtAddr>& requests) {
    const VirtAddr at = m.object("blk_mq_tags"), list = m.machine.alloc(requests.size() * 8 + 8);
    for (size_t i = 0; i < requests.size(); ++i) m.machine.put_u64(list + i * 8, requests[i].value);
    m.set(at, "blk_mq_tags", "nr_tags", requests.size());
    m.set(at, "blk_mq_tags", array, list.value);
    return at;
  }
  void with_tags(VirtAddr tags) {
    const VirtAddr set = m.object("blk_mq_tag_set"), list = m.machine.alloc(16);
    m.machine.put_u64(list, tags.value);
    m.set(set, "blk_mq_tag_set", "nr_hw_queues", 1);
    m.set(set, "blk_mq_tag_set", "tags", list.value);
    m.set(queue, "request_queue", "tag_set", set.value);
  }
  Devices read() {
    m.machine.put_list(m.at(super, "super_block", "s_inodes"), inodes);
    m.open();
    return read_devices(m.types());
  }
  ObjectMachine m;
  VirtAddr characters, blocks, super, disk, queue;
  std::vector<VirtAddr> inodes;
};

TEST_F(DeviceTest, MajorsDisksAndPartitions) {
  const VirtAddr one = m.object("char_device_struct"), two = m.object("char_device_struct"),
                 block = m.object("blk_major_name");
  m.set(one, "char_device_struct", "major", 4);
  m.set(one, "char_device_struct", "baseminor", 64);
  m.set(one, "char_device_struct", "minorct", 4);
  m.machine.put_text(m.at(one, "char_device_struct", "name"), "ttyS");
  m.set(one, "char_device_struct", "next", two.value);
  m.set(two, "char_device_struct", "major", 4);
  m.machine.put_text(m.at(two, "char_device_struct", "name"), "tty\x1b");
  m.machine.put_u64(characters + 4 * 8, one.value);
  m.set(block, "blk_major_name", "major", 254);
  m.machine.put_text(m.at(block, "blk_major_name", "name"), "virtblk");
  m.machine.put_u64(blocks + 254 * 8, block.value);
  const VirtAddr map = m.machine.alloc(255 * 8), probe = m.object("probe"), served = m.object("cdev");
  m.machine.put_u64(m.variable("cdev_map", "void *"), map.value);
  m.machine.put_u64(map + 4 * 8, probe.value);
  m.set(probe, "probe", "dev", 4u << 20 | 64);
  m.set(probe, "probe", "range", 4);
  m.set(probe, "probe", "get", m.function("exact_match").value);
  m.set(probe, "probe", "data", served.value);
  m.set(probe, "probe", "next", probe.value);  // and round again
  m.set(served, "cdev", "ops", m.variable("tty_fops", "u64").value);
  device(1, 100);
  device(0, 2048);
  const Devices found = read();
  EXPECT_TRUE(found.problems.empty());
  ASSERT_EQ(2u, found.characters.size());
  EXPECT_EQ("tty\\x1b", found.characters[0].name);
  EXPECT_EQ("ttyS", found.characters[1].name);
  EXPECT_EQ(64u, found.characters[1].first_minor);
  EXPECT_EQ("tty_fops", found.characters[1].operations);
  EXPECT_EQ("", found.characters[0].operations);
  ASSERT_EQ(1u, found.blocks.size());
  EXPECT_EQ("virtblk", found.blocks[0].name);
  ASSERT_EQ(2u, found.disks.size());
  EXPECT_EQ("vda", found.disks[0].name);
  EXPECT_EQ(1u << 20, found.disks[0].size_bytes);
  EXPECT_EQ(254u, found.disks[0].major);
  EXPECT_EQ("vda1", found.disks[1].name);
  EXPECT_EQ(1u, found.disks[1].minor);
}

TEST_F(DeviceTest, RequestsInTheDriverAndBeforeIt) {
  device(0, 2048);
  const VirtAddr running = request(1, 1, 1, 5'000'000'000), old = request(2, 0, 0), moved = request(9, 0, 1);
  const VirtAddr others = request(4, 0, 1);
  m.set(others, "request", "q", m.object("request_queue").value);
  with_tags(tags("rqs", {VirtAddr{}, running, old, moved, others}));
  const VirtAddr scheduler = m.object("elevator_queue"), type = m.object("elevator_type");
  m.set(type, "elevator_type", "elevator_name", m.string("mq-deadline").value);
  m.set(scheduler, "elevator_queue", "type", type.value);
  m.set(queue, "request_queue", "elevator", scheduler.value);
  m.set(queue, "request_queue", "sched_shared_tags", tags("static_rqs", {request(0, 2, 0), running}).value);
  m.set(queue, "request_queue", "quiesce_depth", 1);
  const Devices found = read();
  EXPECT_TRUE(found.problems.empty());
  const BlockDevice& one = found.disks.at(0);
  EXPECT_EQ("mq-deadline", one.scheduler);
  EXPECT_EQ(1u, one.quiesce_depth);
  ASSERT_EQ(2u, one.requests.size());
  EXPECT_EQ("WRITE", one.requests[0].operation);
  EXPECT_TRUE(one.requests[0].in_driver);
  EXPECT_EQ(int64_t{15'000'000'000}, one.requests[0].age_ns);
  EXPECT_EQ("FLUSH", one.requests[1].operation);
  EXPECT_FALSE(one.requests[1].in_driver);
  EXPECT_FALSE(one.requests[1].age_ns);
}

TEST_F(DeviceTest, CountersOfDevicesWithoutRequests) {
  const VirtAddr at = device(0, 8);
  m.per_cpu("stats", "disk_stats");
  m.set(at, "bdev_inode", "bdev.bd_stats", (m.on_cpu("stats", 0) - m.cpu_offset(0)).value);
  m.set(m.on_cpu("stats", 0), "disk_stats", "in_flight[1]", 5);
  m.set(m.on_cpu("stats", 1), "disk_stats", "in_flight[1]", ~uint64_t{0} - 1);  // -2: ended on the other CPU
  EXPECT_EQ(3, read().disks.at(0).counted);
}

TEST_F(DeviceTest, AbsurdCountsAndCircles) {
  device(0, ~uint64_t{0});
  const VirtAddr one = m.object("char_device_struct");
  m.set(one, "char_device_struct", "next", one.value);
  m.machine.put_u64(characters, one.value);
  m.machine.put_u64(blocks + 8, 0xdead000000000100);
  const VirtAddr many = tags("rqs", {});
  m.set(many, "blk_mq_tags", "nr_tags", 0xffffffff);
  with_tags(many);
  Devices found = read();
  EXPECT_EQ(3u, found.problems.size());
  EXPECT_FALSE(found.disks.at(0).size_bytes);
  inodes.push_back(VirtAddr{m.object("inode").value});
  m.machine.put_text(m.at(disk, "gendisk", "disk_name"), std::string("\0", 1));
  found = read();
  EXPECT_TRUE(found.disks.empty());
  EXPECT_GE(found.problems.size(), 3u);
}

}  // namespace
}  // namespace kdk
