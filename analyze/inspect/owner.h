// Whose an address is: a symbol, an object of a slab cache, a task's stack, a per-CPU area, an area of
// vmalloc space, and the page behind it. Each fact is looked up when it is first needed: tables are made for
// the kinds of addresses that are met, and one look-up costs microseconds after that.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/kernel/slab_pages.h"
#include "core/kernel/typed_memory.h"

namespace kdk {

// What is known of one page frame.
struct PageFactsOf {
  uint64_t pfn = 0;
  uint64_t address = 0;   // of its struct page; 0: there is none
  bool readable = false;  // the struct page is in the dump; what follows rests on it
  uint64_t head = 0;      // struct page of the compound page that it is a tail of; 0: it is not a tail
  uint64_t flags = 0;
  std::vector<std::string> flag_names;  // of the bits set, without zone and node
  int32_t refcount = 0;
  uint32_t mapcount_word = 0;  // or page type
  uint64_t mapping = 0;
  std::string page_class;  // "kernel", "free", "cache", ...: PageClass
  unsigned order = 0;      // the class is that of 2^order pages
  bool slab = false;
};

struct Owner {
  enum class Kind : uint8_t {
    unknown,     // kernel memory, and nobody known has it
    not_kernel,  // a user, poisoned or non-canonical address
    unmapped,
    symbol,  // kernel image or module
    slab,
    stack,  // of a task
    per_cpu,
    vmalloc,
    struct_page,  // the struct page of a page frame
    linear,       // memory in the linear map: see `page`
  };
  Kind kind = Kind::unknown;
  uint64_t address = 0;
  std::string name;    // symbol, slab cache, task's command, per-CPU variable, caller of vmalloc; escaped
  std::string module;  // of a symbol
  uint64_t start = 0, size = 0;    // of the object or area; size 0: unknown
  std::optional<int32_t> pid;      // of a stack
  std::optional<unsigned> cpu;     // of a per-CPU area
  std::optional<uint64_t> object;  // struct kmem_cache, task_struct or vm_struct
  std::optional<uint64_t> physical;
  std::optional<PageFactsOf> page;
  std::vector<std::string> problems;  // what could not be known
};
std::string_view to_string(Owner::Kind kind);

class OwnerFinder {
 public:
  // `types` and its kernel must outlive it. Names of modules are there when the kernel's symbols have them.
  explicit OwnerFinder(TypedMemory& types);
  ~OwnerFinder();

  // Everything that is known. Never throws.
  Owner find(VirtAddr address);
  // One word for a value that may be a pointer: "symbol+0x10", "[slab cache]", "<stack of sh>", or "" when it
  // is nothing of that.
  std::string annotate(uint64_t value);
  PageFactsOf page(Pfn pfn);
  // Address of a byte of RAM in the linear map.
  std::optional<VirtAddr> linear(PhysAddr physical);
  // The virtual address by which the kernel uses a byte of RAM, as far as can be told: that of the image or
  // of an area of vmalloc space, else that in the linear map.
  std::optional<VirtAddr> used_as(PhysAddr physical);
  // Every stack of a task: where it is, and of whom.
  struct TaskStack {
    uint64_t low = 0, high = 0;
    std::string comm;  // escaped
    std::optional<int32_t> pid;
    uint64_t task = 0;
  };
  std::vector<TaskStack> task_stacks();
  // The page frame whose struct page is at, or contains, this address.
  std::optional<Pfn> pfn_of_struct_page(VirtAddr address);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace kdk
