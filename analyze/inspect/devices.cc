#include "analyze/inspect/devices.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "analyze/inspect/block_requests.h"
#include "core/base/error.h"
#include "core/kernel/percpu.h"

namespace kdk {
namespace {

constexpr uint64_t majors = 255;  // CHRDEV_MAJOR_HASH_SIZE, BLKDEV_MAJOR_HASH_SIZE
constexpr size_t most_of_major = 1 << 14;
constexpr unsigned minor_bits = 20;  // of dev_t, include/linux/kdev_t.h
constexpr uint64_t sector_bytes = 512;
// gendisk.state, bit GD_DEAD, include/linux/blkdev.h.
constexpr uint64_t dead_bit = 2;

class Reader {
 public:
  Reader(TypedMemory& types, Devices& out, Problems& problems)
      : objects_(types), kernel_(types.kernel()), out_(out), problems_(problems) {}

  void characters() {
    table("chrdevs", "char_device_struct", out_.characters, "the character devices");
    const std::vector<Registered> registered = character_operations();
    for (DeviceMajor& one : out_.characters) {
      if (one.minors == 0) one.minors = 1;
      const uint64_t device = one.major << minor_bits | one.first_minor;
      for (const Registered& each : registered) {
        if (one.operations.empty() && device >= each.device && device - each.device < each.count)
          one.operations = objects_.symbol_text(each.operations);
      }
    }
    std::ranges::stable_sort(out_.characters, [](const DeviceMajor& a, const DeviceMajor& b) {
      return std::pair(a.major, a.first_minor) < std::pair(b.major, b.first_minor);
    });
  }
  void blocks() {
    table("major_names", "blk_major_name", out_.blocks, "the block devices' majors");
    std::ranges::stable_sort(out_.blocks, {}, &DeviceMajor::major);
  }
  void disks();
  bool found_any() const { return found_; }

 private:
  // Devices that a struct cdev serves.
  struct Registered {
    uint64_t device = 0, count = 0, operations = 0;
  };
  std::vector<Registered> character_operations();
  void table(std::string_view symbol, std::string_view type, std::vector<DeviceMajor>& out,
             std::string_view what);
  void device(const Object& inode);
  std::optional<int64_t> counted(const Object& device);

  Objects objects_;
  Kernel& kernel_;
  Devices& out_;
  Problems& problems_;
  bool found_ = false;
};

// cdev_map, a struct kobj_map: chains of {device, range, data}, of which the data is a struct cdev where
// cdev_add() put it there. Source: drivers/base/map.c, fs/char_dev.c.
std::vector<Reader::Registered> Reader::character_operations() {
  std::vector<Registered> out;
  const auto variable = kernel_.symbol("cdev_map");
  const auto match = kernel_.symbol("exact_match");
  const auto map = variable ? kernel_.memory().pointer(*variable) : std::nullopt;
  if (!map || map->value == 0 || !match || !objects_.has_type("probe") || !objects_.has_type("cdev"))
    return out;
  std::set<uint64_t> seen;
  for (uint64_t i = 0; i < majors; ++i) {
    uint64_t at = kernel_.memory().u64(*map + i * 8).value_or(0);
    while (at != 0 && seen.insert(at).second && seen.size() < most_of_major) {
      const Object probe = objects_.at("probe", {at});
      const auto device = probe.target("data");
      if (device && probe.number("get") == match->value) {
        const Object served = objects_.at("cdev", device->at());
        out.push_back({probe.number("dev").value_or(0), probe.number("range").value_or(0),
                       served.number("ops").value_or(0)});
      }
      at = probe.number("next").value_or(0);
    }
  }
  // The narrowest first: the map begins with one that stands for every device.
  std::ranges::stable_sort(out, {}, &Registered::count);
  return out;
}

void Reader::table(std::string_view symbol, std::string_view type, std::vector<DeviceMajor>& out,
                   std::string_view what) {
  const auto first = kernel_.symbol(symbol);
  if (!first || !objects_.has_type(type)) {
    problems_.add(fmt::format("{} are not known: no symbol {}, or no layout of {}", what, symbol, type));
    return;
  }
  found_ = true;
  std::set<uint64_t> seen;
  for (uint64_t i = 0; i < majors; ++i) {
    const auto head = kernel_.memory().u64(*first + i * 8);
    if (!head) {
      problems_.add(fmt::format("{} cannot be read from entry {} on", what, i));
      return;
    }
    for (uint64_t at = *head; at != 0;) {
      const Object entry = objects_.at(type, {at});
      const auto major = entry.number("major");
      if (!major || !seen.insert(at).second || seen.size() > most_of_major) {
        problems_.add(fmt::format("{} cannot be followed beyond {:#x}", what, at));
        break;
      }
      DeviceMajor item;
      item.major = *major;
      item.first_minor = entry.number("baseminor").value_or(0);
      item.minors = entry.number("minorct").value_or(0);
      item.name = entry.text("name");
      if (const auto device = entry.target("cdev")) {
        if (const auto operations = device->pointer("ops"))
          item.operations = objects_.symbol_text(operations->value);
      }
      out.push_back(std::move(item));
      at = entry.number("next").value_or(0);
    }
  }
}

std::optional<int64_t> Reader::counted(const Object& device) {
  const auto stats = device.pointer("bd_stats");
  if (!stats || !objects_.has_type("disk_stats")) return std::nullopt;
  int64_t sum = 0;
  for (const unsigned cpu : objects_.cpus()) {
    const auto offset = per_cpu_offset(kernel_, cpu);
    const auto place = offset ? objects_.at("disk_stats", *stats + *offset).place("in_flight") : std::nullopt;
    if (!place) return std::nullopt;
    for (uint64_t i = 0; i < 2; ++i) {  // reads, writes: local_t
      const auto part = kernel_.memory().u64(*place + i * 8);
      if (!part) return std::nullopt;
      sum = static_cast<int64_t>(static_cast<uint64_t>(sum) + *part);
    }
  }
  return sum;
}

void Reader::device(const Object& inode) {
  const auto bdev = objects_.container("bdev_inode", "vfs_inode", inode.at()).member("bdev");
  const auto disk = bdev ? bdev->target("bd_disk") : std::nullopt;
  if (!disk) return;  // the root of the pseudo file system
  BlockDevice out;
  out.address = bdev->address();
  out.disk = disk->address();
  const auto number = bdev->number("bd_dev");
  const std::string disk_name = disk->text("disk_name");
  if (!number || disk_name.empty()) {
    problems_.add(fmt::format("the block device at {:#x} cannot be read", out.address));
    return;
  }
  out.major = *number >> minor_bits;
  out.minor = *number & ((uint64_t{1} << minor_bits) - 1);
  // Linux commit 1116b9fa15c0 ("bdev: infrastructure for flags") (in v6.10): in the low byte of the flags.
  out.partition = bdev->has("__bd_flags") ? bdev->number("__bd_flags").value_or(0) & 0xff
                                          : bdev->number("bd_partno").value_or(0);
  out.name = disk_name;
  if (out.partition != 0) {
    const bool digit = disk_name.back() >= '0' && disk_name.back() <= '9';
    out.name += fmt::format("{}{}", digit ? "p" : "", out.partition);
  }
  if (const auto sectors = bdev->number("bd_nr_sectors"); sectors && *sectors < UINT64_MAX / sector_bytes)
    out.size_bytes = *sectors * sector_bytes;
  out.openers = bdev->number("bd_openers");
  out.dead = (disk->number("state").value_or(0) >> dead_bit & 1) != 0;
  out.counted = counted(*bdev);
  if (const auto operations = disk->pointer("fops")) out.driver = objects_.symbol_text(operations->value);
  const auto queue = disk->target("queue");
  if (out.partition == 0 && queue) {
    out.freeze_depth = queue->number("mq_freeze_depth");
    out.quiesce_depth = queue->number("quiesce_depth");
    if (const auto elevator = queue->target("elevator")) {
      if (const auto type = elevator->target("type")) out.scheduler = type->pointed_text("elevator_name", 32);
    }
    read_requests(objects_, *queue, out_.clock, out, problems_);
  }
  out_.disks.push_back(std::move(out));
}

void Reader::disks() {
  const auto at = kernel_.symbol("blockdev_superblock");
  const auto super = at ? kernel_.memory().u64(*at) : std::nullopt;
  if (super.value_or(0) == 0 || !objects_.has_type("bdev_inode")) {
    problems_.add("the disks are not known: no symbol blockdev_superblock, or no layout of bdev_inode");
    return;
  }
  const auto head = objects_.at("super_block", {*super}).place("s_inodes");
  if (!head) return;
  found_ = true;
  for (const Object& inode : objects_.list(*head, "inode", "i_sb_list", "the block devices", problems_))
    device(inode);
  // Disks as they were made, each with its partitions; the kernel adds inodes at the front.
  std::map<uint64_t, size_t> rank;
  for (size_t i = out_.disks.size(); i-- > 0;) rank.emplace(out_.disks[i].disk, rank.size());
  std::ranges::stable_sort(out_.disks, [&](const BlockDevice& a, const BlockDevice& b) {
    return std::pair(rank[a.disk], a.partition) < std::pair(rank[b.disk], b.partition);
  });
}

Devices read(TypedMemory& types, bool all) {
  Devices out;
  Problems problems;
  out.clock = read_kernel_clock(types.kernel());
  Reader reader(types, out, problems);
  if (all) {
    reader.characters();
    reader.blocks();
  }
  reader.disks();
  out.problems = problems.take();
  if (!reader.found_any())
    throw Error(Errc::missing, out.problems.empty() ? "no devices can be read" : out.problems.front());
  return out;
}

}  // namespace

Devices read_devices(TypedMemory& types) {
  return read(types, true);
}

Devices read_block_devices(TypedMemory& types) {
  return read(types, false);
}

}  // namespace kdk
