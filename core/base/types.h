// Address and page-number types of the *dumped* machine.
//
// Mixing physical with virtual addresses, or addresses with page frame numbers, is the classic bug of this field, so
// each is a type of its own. Arithmetic is modulo 2^64 on purpose: arm64's PHYS_OFFSET can be "negative"
// (reference: arch/arm64 memstart_addr on 52-bit VA builds running on 48-bit CPUs).
#pragma once

#include <compare>
#include <cstdint>

namespace kdk {

// A byte address in physical memory.
struct PhysAddr {
  uint64_t value = 0;
  friend constexpr auto operator<=>(PhysAddr, PhysAddr) = default;
  friend constexpr PhysAddr operator+(PhysAddr a, uint64_t n) { return {a.value + n}; }
  friend constexpr PhysAddr operator-(PhysAddr a, uint64_t n) { return {a.value - n}; }
};

// A byte address in the dumped kernel's virtual address space, untagged (no PAC, no top-byte tag).
struct VirtAddr {
  uint64_t value = 0;
  friend constexpr auto operator<=>(VirtAddr, VirtAddr) = default;
  friend constexpr VirtAddr operator+(VirtAddr a, uint64_t n) { return {a.value + n}; }
  friend constexpr VirtAddr operator-(VirtAddr a, uint64_t n) { return {a.value - n}; }
};

// A page frame number: physical address divided by the dumped kernel's page size.
struct Pfn {
  uint64_t value = 0;
  friend constexpr auto operator<=>(Pfn, Pfn) = default;
  friend constexpr Pfn operator+(Pfn p, uint64_t n) { return {p.value + n}; }
};

// Half-open range of page frames [begin, end).
struct PfnRange {
  Pfn begin;
  Pfn end;
  constexpr uint64_t count() const { return end.value - begin.value; }
  constexpr bool contains(Pfn p) const { return begin <= p && p < end; }
  friend constexpr auto operator<=>(const PfnRange&, const PfnRange&) = default;
};

}  // namespace kdk
