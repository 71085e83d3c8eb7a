// The dumped kernel's memory: virtual -> physical -> bytes, through the architecture's page walk and a page
// cache.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/arch/arch.h"
#include "core/base/bytes.h"
#include "core/base/types.h"
#include "core/formats/dump.h"

namespace kdk {

enum class ReadStatus : uint8_t {
  ok,
  unmapped,
  table_unavailable,
  not_kernel,
  excluded,
  missing,
  unreadable
};
std::string_view to_string(ReadStatus status);

struct ReadResult {
  ReadStatus status = ReadStatus::ok;
  size_t bytes = 0;      // read before the failure
  uint64_t address = 0;  // virtual (or physical) address of the first byte that could not be read
  explicit operator bool() const { return status == ReadStatus::ok; }
};

// Not thread-safe: one per thread over a shared Dump.
class KernelMemory : public PhysReader {
 public:
  // Picks the arch from the dump (ELF machine, else utsname) and builds its translator from VMCOREINFO.
  // Throws Error{unsupported} for an unknown machine, Error{missing} without the VMCOREINFO keys translation
  // needs.
  explicit KernelMemory(const Dump& dump);
  ~KernelMemory() override;

  const Dump& dump() const { return dump_; }
  const Arch& arch() const { return *arch_; }
  const VaLayout& layout() const;
  uint32_t page_size() const { return dump_.info().page_size; }
  const Vmcoreinfo& vmcoreinfo() const { return dump_.vmcoreinfo(); }

  Translation translate(VirtAddr va) noexcept;
  // For what translate() cannot answer: enumerating the tables.
  Translator& translator() { return *translator_; }

  // Reads all of `out`; stops at the first byte that cannot be read and says why. Never throws.
  ReadResult read(VirtAddr va, MutableBytes out) noexcept;
  ReadResult read(PhysAddr pa, MutableBytes out) noexcept;
  bool read_phys(PhysAddr pa, MutableBytes out) noexcept override { return static_cast<bool>(read(pa, out)); }

  // Pages that were read are read anew from here on: for a running machine (/proc/kcore), whose memory
  // changes.
  void forget_pages() noexcept;

  // One value; nullopt when it cannot be read. T is an alignment-1 type (ul64 or a struct of such).
  template <typename T>
  std::optional<T> load(VirtAddr va) noexcept {
    T v;
    if (!read(va, {reinterpret_cast<uint8_t*>(&v), sizeof v})) return std::nullopt;
    return v;
  }
  std::optional<uint8_t> u8(VirtAddr va) noexcept;
  std::optional<uint16_t> u16(VirtAddr va) noexcept;
  std::optional<uint32_t> u32(VirtAddr va) noexcept;
  std::optional<uint64_t> u64(VirtAddr va) noexcept;
  std::optional<VirtAddr> pointer(VirtAddr va) noexcept;

  // A NUL-terminated string of at most `limit` bytes (cut there); nullopt when its first byte cannot be read.
  // Raw bytes: escape before printing.
  std::optional<std::string> string(VirtAddr va, size_t limit = 256) noexcept;

  // As read(), but throws Error{fault} "what: address 0x...: page excluded from the dump" and so on.
  void require(VirtAddr va, MutableBytes out, std::string_view what);

 private:
  struct Cache;
  const Dump& dump_;
  const Arch* arch_ = nullptr;
  std::unique_ptr<Cache> cache_;
  std::unique_ptr<Translator> translator_;
};

enum class WalkEnd : uint8_t { complete, stopped, limit, cycle, unreadable };
std::string_view to_string(WalkEnd end);

// Walks a struct list_head ring: calls `visit` with each node address (not the head) until it returns false.
// Bounded by `limit`, notices cycles that miss the head. Returns how it ended.
WalkEnd walk_list(KernelMemory& memory, VirtAddr head, size_t limit,
                  const std::function<bool(VirtAddr)>& visit);

}  // namespace kdk
