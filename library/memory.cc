// Reads of memory, with an account of what is not there, and translations.
#include <fmt/format.h>

#include <algorithm>

#include "core/base/bus_error.h"
#include "library/handle.h"

using namespace kdk;

namespace {

// Physical memory of a dump whose kernel cannot be interpreted.
ReadResult read_pages(const Dump& dump, uint64_t address, MutableBytes out) {
  const std::unique_ptr<PageReader> reader = dump.reader();
  const uint32_t page_size = dump.info().page_size;
  for (size_t done = 0; done < out.size();) {
    const uint64_t at = address + done, within = at % page_size;
    const size_t n = std::min<size_t>(out.size() - done, page_size - within);
    const PageView page = reader->page({at / page_size});
    if (page.state != PageState::present) {
      const ReadStatus why = page.state == PageState::excluded     ? ReadStatus::excluded
                             : page.state == PageState::unreadable ? ReadStatus::unreadable
                                                                   : ReadStatus::missing;
      return {why, done, at};
    }
    if (!touch_guarded([&] { std::memcpy(out.data() + done, page.bytes.data() + within, n); }))
      return {ReadStatus::unreadable, done, at};
    done += n;
  }
  return {ReadStatus::ok, out.size(), 0};
}

ReadResult read_once(kdumpkit_dump& dump, int space, uint64_t address, MutableBytes out) {
  if (space == KDUMPKIT_VIRTUAL) return dump.kernel().memory().read(VirtAddr{address}, out);
  if (Kernel* kernel = dump.opened.kernel()) return kernel->memory().read(PhysAddr{address}, out);
  return read_pages(dump.opened.dump(), address, out);
}

struct Piece {
  uint64_t address, size;
  ReadStatus status;
};

// Fills `out`, zeros for what is not there. Addresses wrap at the end of the address space, as the kernel's
// do. Unreadable neighbours with one reason are one piece.
std::vector<Piece> read_all(kdumpkit_dump& dump, int space, uint64_t address, MutableBytes out) {
  std::vector<Piece> pieces;
  const auto add = [&](uint64_t at, uint64_t size, ReadStatus status) {
    if (size == 0) return;
    if (!pieces.empty() && pieces.back().status == status) {
      pieces.back().size += size;
    } else {
      pieces.push_back({at, size, status});
    }
  };
  const uint64_t page_size = dump.opened.dump().info().page_size;
  for (size_t done = 0; done < out.size();) {
    const ReadResult read = read_once(dump, space, address + done, out.subspan(done));
    add(address + done, read.bytes, ReadStatus::ok);
    done += read.bytes;
    if (read) break;
    const uint64_t at = address + done;
    const size_t hole = std::min<size_t>(out.size() - done, page_size - at % page_size);
    std::ranges::fill(out.subspan(done, hole), uint8_t{0});
    add(at, hole, read.status);
    done += hole;
  }
  return pieces;
}

// Throws Refusal. The size bounds the work: it is that of memory which the caller has.
MutableBytes buffer_of(int space, void* buffer, size_t size) {
  if (space != KDUMPKIT_VIRTUAL && space != KDUMPKIT_PHYSICAL)
    throw Refusal{KDUMPKIT_ERROR_ARGUMENT, fmt::format("there is no address space {}", space)};
  if (buffer == nullptr && size != 0) throw Refusal{KDUMPKIT_ERROR_ARGUMENT, "the buffer is NULL"};
  return {static_cast<uint8_t*>(buffer), size};
}

void add_piece(Owned<kdumpkit_pieces>& out, std::vector<const kdumpkit_piece*>& items, uint64_t address,
               uint64_t size, int memory) {
  kdumpkit_piece& item = out.arena.make<kdumpkit_piece>();
  item = {address, size, memory};
  items.push_back(&item);
  if (memory == KDUMPKIT_MEMORY_OK) out.readable_bytes += size;
}

const char* kind_name(Translator::Step::Kind kind) {
  switch (kind) {
    case Translator::Step::Kind::table:
      return "table";
    case Translator::Step::Kind::leaf:
      return "leaf";
    case Translator::Step::Kind::invalid:
      return "invalid";
    case Translator::Step::Kind::unreadable:
      break;
  }
  return "unreadable";
}

}  // namespace

int kdumpkit_dump_read(kdumpkit_dump* dump, int space, uint64_t address, void* buffer, size_t size,
                       kdumpkit_error** error) {
  if (dump == nullptr) return store_argument(error, "the dump");
  return guarded(error, dump->file, [&] {
    const MutableBytes out = buffer_of(space, buffer, size);
    const ReadResult first = read_once(*dump, space, address, out);
    if (first) return;
    read_all(*dump, space, address, out);
    throw Refusal{KDUMPKIT_ERROR_FAULT,
                  fmt::format("{} address {:#018x}: {}", space == KDUMPKIT_PHYSICAL ? "physical" : "virtual",
                              address + first.bytes, to_string(first.status)),
                  address + first.bytes, to_public(first.status)};
  });
}

int kdumpkit_dump_read_pieces(kdumpkit_dump* dump, int space, uint64_t address, void* buffer, size_t size,
                              kdumpkit_pieces** pieces, kdumpkit_error** error) {
  return make_result(dump, pieces, error, [&](Owned<kdumpkit_pieces>& out) {
    std::vector<const kdumpkit_piece*> items;
    for (const Piece& piece : read_all(*dump, space, address, buffer_of(space, buffer, size)))
      add_piece(out, items, piece.address, piece.size, to_public(piece.status));
    out.set_items(items);
  });
}

void kdumpkit_pieces_free(kdumpkit_pieces* pieces) {
  free_owned(pieces);
}

int kdumpkit_dump_ram(const kdumpkit_dump* dump, kdumpkit_pieces** ram, kdumpkit_error** error) {
  return make_result(dump, ram, error, [&](Owned<kdumpkit_pieces>& out) {
    const uint64_t page_size = dump->opened.dump().info().page_size;
    std::vector<const kdumpkit_piece*> items;
    for (const PfnRange& range : dump->opened.dump().ram())
      add_piece(out, items, range.begin.value * page_size, range.count() * page_size, KDUMPKIT_MEMORY_OK);
    out.set_items(items);
  });
}

int kdumpkit_dump_page(const kdumpkit_dump* dump, uint64_t address) {
  if (dump == nullptr) return KDUMPKIT_MEMORY_MISSING;
  const Dump& opened = dump->opened.dump();
  return to_public(opened.state({address / opened.info().page_size}));
}

int kdumpkit_dump_translate(kdumpkit_dump* dump, uint64_t address, uint64_t* physical, uint64_t* contiguous,
                            kdumpkit_error** error) {
  if (physical == nullptr) return store_argument(error, "the result");
  *physical = 0;
  if (contiguous != nullptr) *contiguous = 0;
  if (dump == nullptr) return store_argument(error, "the dump");
  return guarded(error, dump->file, [&] {
    const Translation found = dump->kernel().memory().translate({address});
    if (!found) refuse_memory(address, to_public(found.status));
    *physical = found.pa.value;
    if (contiguous != nullptr) *contiguous = found.contiguous;
  });
}

int kdumpkit_dump_walk(kdumpkit_dump* dump, uint64_t root, uint64_t address, kdumpkit_walk** walk,
                       kdumpkit_error** error) {
  return make_result(dump, walk, error, [&](Owned<kdumpkit_walk>& out) {
    KernelMemory& memory = dump->kernel().memory();
    std::optional<PhysAddr> tables;
    if (root != KDUMPKIT_KERNEL_TABLES) tables = PhysAddr{root};
    if (!tables && memory.arch().strip(address, memory.layout()).value < memory.layout().kernel_start)
      refuse_memory(address, KDUMPKIT_MEMORY_NOT_KERNEL);
    std::vector<const kdumpkit_step*> items;
    for (const Translator::Step& step : memory.translator().steps(tables, {address})) {
      kdumpkit_step& item = out.arena.make<kdumpkit_step>();
      item.level = out.arena.raw(step.level);
      item.kind = kind_name(step.kind);
      item.entry = step.entry.value;
      if (step.kind != Translator::Step::Kind::unreadable) item.raw = step.raw;
      if (step.kind == Translator::Step::Kind::table || step.kind == Translator::Step::Kind::leaf)
        item.to = step.to.value;
      item.size = step.size;
      item.flags = out.arena.strings(step.flags);
      items.push_back(&item);
    }
    out.set_items(items);
  });
}

void kdumpkit_walk_free(kdumpkit_walk* walk) {
  free_owned(walk);
}
