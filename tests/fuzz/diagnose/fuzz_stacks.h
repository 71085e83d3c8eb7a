// The two stacks of a synthetic machine, with contents from a fuzzer's input.
//
// So that seeds do not depend on where the machine puts things, an input word with 0x5354 in its top 16 bits
// stands for an address in the task stack, 0x4952 in the interrupt stack, 0x5458 in the text.
#pragma once

#include "core/diagnose/unwind.h"
#include "tests/support/dump_builder.h"
#include "tests/support/overlay_dump.h"

namespace kdk::fuzz {

constexpr uint64_t stack_size = 16384;

struct Stacks {
  explicit Stacks(test::DumpBuilder& machine)
      : builder(machine), task(builder.vmalloc(stack_size / 4096)), irq(builder.vmalloc(stack_size / 4096)) {}

  uint64_t resolve(uint64_t word) const {
    const uint64_t low = word & 0xffffffffffff;
    switch (word >> 48) {
      case 0x5354:
        return task.value + low;
      case 0x4952:
        return irq.value + low;
      case 0x5458:
        return builder.stext().value + low;
      default:
        return word;
    }
  }
  // Every 64-bit word of `words`.
  void resolve_all(MutableBytes words) const {
    for (size_t at = 0; at < words.size(); at += 8) store(words, at, ul64(resolve(*load<ul64>(words, at))));
  }
  // `contents`: of the task stack from its bottom, then of the interrupt stack; 2 * stack_size bytes.
  void replace(test::OverlayDump& dump, Bytes contents) const {
    for (uint64_t at = 0; at < 2 * stack_size; at += 4096) {
      const VirtAddr page = at < stack_size ? task + at : irq + (at - stack_size);
      const Bytes bytes = contents.subspan(at, 4096);
      dump.replace(builder.pfn_of(builder.phys(page)), {bytes.begin(), bytes.end()});
    }
  }
  StackSet ranges() const {
    StackSet known;
    known.ranges = {{task.value, task.value + stack_size, "task"},
                    {irq.value, irq.value + stack_size, "irq"}};
    return known;
  }

  test::DumpBuilder& builder;
  VirtAddr task, irq;
};

}  // namespace kdk::fuzz
