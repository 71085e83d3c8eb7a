#include "loader/plan/dtb.h"

#include <fmt/format.h>
#include <libfdt.h>

#include <algorithm>

#include "core/base/error.h"
#include "loader/plan/fdt.h"

namespace kdk {
namespace {

using fdt::check;
using fdt::checked_copy;
using fdt::find_number;
using fdt::find_property;
using fdt::root_cells;
using fdt::total_size_of;

// Room for the properties that are added; what is not used is given back by fdt_pack.
constexpr uint64_t extra_space = 4096;

struct Reservation {
  int index = 0;
  Range memory;
};

std::vector<Reservation> list_reservations(const std::vector<uint8_t>& tree) {
  std::vector<Reservation> all;
  int count = check(fdt_num_mem_rsv(tree.data()), "memory reservations");
  for (int i = 0; i < count; ++i) {
    uint64_t start = 0;
    uint64_t size = 0;
    check(fdt_get_mem_rsv(tree.data(), i, &start, &size), "memory reservation");
    if (size == 0) continue;
    if (!checked_add(start, size)) throw Error(Errc::format, fmt::format("memory reservation {} wraps", i));
    all.push_back({i, {start, size}});
  }
  return all;
}

// Edits /chosen of one tree and keeps a list of what it did.
class Editor {
 public:
  Editor(Bytes source, uint64_t room) {
    std::vector<uint8_t> original = checked_copy(source);
    original_size_ = total_size_of(original);
    tree_.resize(original_size_ + room);
    check(fdt_open_into(original.data(), tree_.data(), static_cast<int>(tree_.size())),
          "opening the device tree");
    address_cells_ = root_cells(tree_, "#address-cells");
    size_cells_ = root_cells(tree_, "#size-cells");
    if (fdt_path_offset(tree_.data(), "/chosen") == -FDT_ERR_NOTFOUND) {
      check(fdt_add_subnode(tree_.data(), 0, "chosen"), "adding /chosen");
    }
    chosen();
  }

  void set(const std::string& name, Bytes value, std::string shown) {
    check(fdt_setprop(tree_.data(), chosen(), name.c_str(), value.data(), static_cast<int>(value.size())),
          name);
    edits_.push_back({"set", "/chosen/" + name, std::move(shown)});
  }
  void set_number(const std::string& name, uint64_t value) {
    ub64 big = value;
    std::array<uint8_t, 8> bytes{};
    store(bytes, 0, big);
    set(name, bytes, fmt::format("{:#x}", value));
  }
  void set_ranges(const std::string& name, const std::vector<Range>& ranges) {
    std::vector<uint8_t> cells;
    std::string shown;
    for (const Range& range : ranges) {
      append_cells(cells, range.start, address_cells_, name);
      append_cells(cells, range.size, size_cells_, name);
      shown += fmt::format("{}{:#x} size {:#x}", shown.empty() ? "" : ", ", range.start, range.size);
    }
    set(name, cells, shown);
  }
  void remove(const std::string& name) {
    int result = fdt_delprop(tree_.data(), chosen(), name.c_str());
    if (result == -FDT_ERR_NOTFOUND) return;
    check(result, name);
    edits_.push_back({"delete", "/chosen/" + name, ""});
  }
  void reserve(const Range& range) {
    check(fdt_add_mem_rsv(tree_.data(), range.start, range.size), "adding a memory reservation");
    edits_.push_back({"reserve", "/memreserve/", to_string(range)});
  }
  // Drops every reservation for which stale(range) holds.
  template <typename Stale>
  void unreserve(const Stale& stale) {
    std::vector<Reservation> all = list_reservations(tree_);
    for (auto it = all.rbegin(); it != all.rend(); ++it) {  // from the end: indexes stay valid
      if (!stale(it->memory)) continue;
      check(fdt_del_mem_rsv(tree_.data(), it->index), "removing a memory reservation");
      edits_.push_back({"unreserve", "/memreserve/", to_string(it->memory)});
    }
  }
  // Notes properties that are left alone on purpose.
  void note_kept(std::string_view prefix) {
    int node = chosen();
    int property = 0;
    fdt_for_each_property_offset(property, tree_.data(), node) {
      const char* name = nullptr;
      if (fdt_getprop_by_offset(tree_.data(), property, &name, nullptr) == nullptr || name == nullptr)
        continue;
      if (std::string_view(name).starts_with(prefix))
        edits_.push_back({"keep", std::string("/chosen/") + name, ""});
    }
  }

  std::optional<uint64_t> number(const std::string& name) { return find_number(tree_, chosen(), name); }
  uint64_t original_size() const { return original_size_; }

  EditedDtb finish() {
    check(fdt_pack(tree_.data()), "packing the device tree");
    tree_.resize(total_size_of(tree_));
    if (tree_.size() > max_dtb_size) {
      throw Error(Errc::unsupported, fmt::format("the edited device tree has {} bytes; arm64 allows {}",
                                                 tree_.size(), max_dtb_size));
    }
    return {std::move(tree_), std::move(edits_)};
  }

 private:
  int chosen() { return check(fdt_path_offset(tree_.data(), "/chosen"), "/chosen"); }

  static void append_cells(std::vector<uint8_t>& out, uint64_t value, unsigned cells, std::string_view name) {
    if (cells == 1 && value > UINT32_MAX) {
      throw Error(Errc::unsupported,
                  fmt::format("/chosen/{}: {:#x} does not fit the tree's 32-bit cells", name, value));
    }
    for (unsigned shift = 32 * cells; shift > 0; shift -= 8)
      out.push_back(static_cast<uint8_t>(value >> (shift - 8)));
  }

  std::vector<uint8_t> tree_;
  std::vector<DtbEdit> edits_;
  uint64_t original_size_ = 0;
  unsigned address_cells_ = 1;
  unsigned size_cells_ = 1;
};

// Reservations the crash kernel must not inherit: its own memory (left by the loader of a machine that was
// itself booted through kexec), the old initrd (exact or page-rounded), and the old tree.
void drop_stale_reservations(Editor& editor, const DtbRequest& request) {
  std::optional<uint64_t> start = editor.number("linux,initrd-start");
  std::optional<uint64_t> end = editor.number("linux,initrd-end");
  editor.unreserve([&](const Range& range) {
    auto is_in_use = [&](const Range& usable) { return usable.overlaps(range); };
    if (std::any_of(request.usable_memory.begin(), request.usable_memory.end(), is_in_use)) return true;
    if (start && end && *end > *start && range.start == *start) {
      return range.size >= *end - *start && range.size - (*end - *start) < (64 << 10);
    }
    return range.size == editor.original_size();
  });
}

}  // namespace

EditedDtb edit_dtb(Bytes source, const DtbRequest& request) {
  uint64_t room = extra_space + request.command_line.size() + request.usable_memory.size() * 16;
  Editor editor(source, room);
  drop_stale_reservations(editor, request);
  for (const char* stale :
       {"linux,elfcorehdr", "linux,usable-memory-range", "linux,initrd-start", "linux,initrd-end",
        "linux,ima-kexec-buffer", "linux,kho-fdt", "linux,kho-scratch", "kaslr-seed", "rng-seed"}) {
    editor.remove(stale);
  }
  editor.set_ranges("linux,elfcorehdr", {request.elfcorehdr});
  editor.set_ranges("linux,usable-memory-range", request.usable_memory);
  if (request.initrd) {
    editor.set_number("linux,initrd-start", request.initrd->start);
    editor.set_number("linux,initrd-end", request.initrd->end());
    editor.reserve(*request.initrd);
  }
  editor.reserve(request.elfcorehdr);
  std::vector<uint8_t> bootargs(request.command_line.begin(), request.command_line.end());
  bootargs.push_back(0);
  editor.set("bootargs", bootargs, request.command_line);
  editor.set("kaslr-seed", request.seeds.kaslr, "8 random bytes");
  editor.set("rng-seed", request.seeds.rng, "128 random bytes");
  editor.set("linux,booted-from-kexec", {}, "");
  editor.note_kept("linux,uefi-");
  return editor.finish();
}

ChosenNode read_chosen(Bytes dtb) {
  std::vector<uint8_t> tree = checked_copy(dtb);
  unsigned address_cells = root_cells(tree, "#address-cells");
  unsigned size_cells = root_cells(tree, "#size-cells");
  int node = check(fdt_path_offset(tree.data(), "/chosen"), "/chosen");
  auto ranges = [&](const std::string& name) {
    std::vector<Range> out;
    std::optional<Bytes> data = find_property(tree, node, name);
    Cursor cursor(data.value_or(Bytes()), name);
    auto number = [&](unsigned cells) -> uint64_t { return cells == 1 ? cursor.u32be() : cursor.u64be(); };
    while (!cursor.at_end()) {
      uint64_t start = number(address_cells);
      uint64_t size = number(size_cells);
      if (!checked_add(start, size)) throw Error(Errc::format, fmt::format("/chosen/{} wraps", name));
      out.push_back({start, size});
    }
    return out;
  };
  ChosenNode chosen;
  std::vector<Range> header = ranges("linux,elfcorehdr");
  if (header.size() == 1) chosen.elfcorehdr = header[0];
  chosen.usable_memory = ranges("linux,usable-memory-range");
  std::optional<uint64_t> start = find_number(tree, node, "linux,initrd-start");
  std::optional<uint64_t> end = find_number(tree, node, "linux,initrd-end");
  if (start && end && *end > *start) chosen.initrd = Range{*start, *end - *start};
  std::string_view bootargs = as_text(find_property(tree, node, "bootargs").value_or(Bytes()));
  chosen.bootargs = bootargs.substr(0, bootargs.find('\0'));
  auto not_zero = [&](const char* name) {
    Bytes seed = find_property(tree, node, name).value_or(Bytes());
    return std::any_of(seed.begin(), seed.end(), [](uint8_t b) { return b != 0; });
  };
  chosen.has_seeds = not_zero("kaslr-seed") && not_zero("rng-seed");
  for (const Reservation& reservation : list_reservations(tree))
    chosen.reservations.push_back(reservation.memory);
  return chosen;
}

}  // namespace kdk
