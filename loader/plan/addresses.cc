#include "loader/plan/addresses.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/formats/vmcoreinfo.h"

namespace kdk {
namespace {

// arm64 requires the image's virtual and physical address to agree modulo this
// (arch/arm64/include/asm/boot.h, MIN_KIMG_ALIGN).
constexpr uint64_t image_alignment = uint64_t{2} << 20;
// Bytes between _text and _stext: the head section (SEGMENT_ALIGN in arch/arm64/include/asm/memory.h).
constexpr uint64_t head_size = uint64_t{64} << 10;

// The linear map's offset from VMCOREINFO: PAGE_OFFSET - PHYS_OFFSET with PAGE_OFFSET = -(1 << VA_BITS).
// VA_BITS is the build's value on purpose: PHYS_OFFSET is biased to match it when the CPU has fewer bits
// (arch/arm64/mm/init.c, arm64_memblock_init).
std::optional<uint64_t> linear_offset_of(const Vmcoreinfo& info) {
  std::optional<uint64_t> bits = info.number("VA_BITS");
  std::optional<uint64_t> phys_offset = info.number("PHYS_OFFSET");
  if (!bits || !phys_offset || *bits < 32 || *bits > 56) return std::nullopt;
  return (~uint64_t{0} << *bits) - *phys_offset;
}

uint64_t offset_of(const KcoreSegment& segment) {
  return segment.vaddr - segment.paddr;
}

void read_kcore_segments(const Kcore& kcore, KernelAddresses& found) {
  if (kcore.segments.empty()) return;
  auto by_size = [](const KcoreSegment& a, const KcoreSegment& b) { return a.size < b.size; };
  const KcoreSegment& largest = *std::max_element(kcore.segments.begin(), kcore.segments.end(), by_size);
  found.linear_offset = offset_of(largest);
  // Everything in RAM is mapped linearly, except the image's own second mapping.
  for (const KcoreSegment& segment : kcore.segments) {
    if (offset_of(segment) != *found.linear_offset) {
      found.image = ImageMapping{segment.vaddr, {segment.paddr, segment.size}};
      break;
    }
  }
}

// From _stext and /proc/iomem's "Kernel code" and "Kernel data". Where "Kernel code" begins changed from
// _text to _stext (Linux commit e2a073dde921 ("arm64: omit [_text, _stext) from permanent kernel mapping")
// (in v5.11)); the alignment of the image tells the two apart.
std::optional<ImageMapping> image_from_kallsyms(const Machine& machine) {
  std::optional<Range> code = machine.memory.find("Kernel code");
  std::optional<Range> data = machine.memory.find("Kernel data");
  if (!machine.kallsyms_stext || !code || !data || data->end() <= code->start) return std::nullopt;
  uint64_t offset = *machine.kallsyms_stext - code->start;
  if (offset % image_alignment == head_size) offset -= head_size;
  if (offset % image_alignment != 0) return std::nullopt;
  return ImageMapping{code->start + offset, {code->start, data->end() - code->start}};
}

void cross_check(const Machine& machine, const Vmcoreinfo& info, KernelAddresses& found) {
  std::optional<uint64_t> linear = linear_offset_of(info);
  if (linear && found.linear_offset && *linear != *found.linear_offset) {
    found.problems.push_back(
        fmt::format("linear map: /proc/kcore says virtual - physical = {:#x}, VMCOREINFO {:#x}: "
                    "virtual addresses of RAM are left out",
                    *found.linear_offset, *linear));
    found.linear_offset.reset();
  }
  if (!found.image) return;
  uint64_t image_offset = found.image->vaddr - found.image->memory.start;
  std::optional<uint64_t> voffset = info.number("kimage_voffset");
  std::string disagreement;
  if (voffset && *voffset != image_offset) {
    disagreement = fmt::format("virtual - physical = {:#x}, but kimage_voffset in VMCOREINFO is {:#x}",
                               image_offset, *voffset);
  }
  for (std::optional<uint64_t> stext : {info.symbol("_stext"), machine.kallsyms_stext}) {
    if (stext && *stext - found.image->vaddr >= found.image->memory.size) {
      disagreement = fmt::format("{:#x} bytes at {:#x} do not hold _stext {:#x}", found.image->memory.size,
                                 found.image->vaddr, *stext);
    }
  }
  if (!disagreement.empty()) {
    found.problems.push_back("kernel image: " + disagreement +
                             ": its program header is left out (RAM covers it)");
    found.image.reset();
  }
}

}  // namespace

KernelAddresses find_addresses(const Machine& machine) {
  KernelAddresses found;
  Vmcoreinfo info;
  if (machine.kcore) {
    info = Vmcoreinfo::parse(machine.kcore->vmcoreinfo);
    read_kcore_segments(*machine.kcore, found);
    found.source = "/proc/kcore";
    if (info.empty())
      found.problems.emplace_back("/proc/kcore holds no VMCOREINFO to check addresses against");
  } else {
    found.problems.push_back("/proc/kcore cannot be used (" + machine.kcore_problem + ")");
  }
  if (!found.linear_offset && linear_offset_of(info)) {
    found.linear_offset = linear_offset_of(info);
    found.source = "VMCOREINFO";
  }
  if (!found.image) {
    found.image = image_from_kallsyms(machine);
    if (found.image)
      found.source += found.source.empty() ? "_stext and /proc/iomem" : ", _stext and /proc/iomem";
  }
  cross_check(machine, info, found);
  if (found.problems.empty() && !found.image) {
    found.problems.emplace_back(
        "the kernel image was not found: its program header is left out (RAM covers it)");
  }
  if (!found.linear_offset)
    found.problems.emplace_back("the linear map is unknown: RAM headers carry virtual address 0");
  if (found.source.empty()) found.source = "none";
  return found;
}

}  // namespace kdk
