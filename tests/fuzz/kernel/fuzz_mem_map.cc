// Struct page location over hostile VMCOREINFO and mem_section contents, in an otherwise sound small machine.
//
// Input: VMCOREINFO lines that replace the machine's own, a NUL, then bytes for the mem_section root array's
// first used entry and the section table behind it.
#include <algorithm>
#include <cstdlib>

#include "core/kernel/pages.h"
#include "tests/support/page_builder.h"

namespace {

using namespace kdk;
using test::DumpBuilder;
using test::PageBuilder;

void check(bool ok) {
  if (!ok) std::abort();
}

void exercise(const DumpBuilder& machine) {
  const std::unique_ptr<Dump> dump = machine.open();
  KernelMemory memory(*dump);
  const PageMarkers markers = read_page_markers(dump->vmcoreinfo());
  MemMap map(memory, markers);
  for (const PfnRange& range : map.present()) {
    check(range.begin < range.end && range.end <= dump->end_pfn());
    Pfn expected = range.begin;
    map.for_each_run(range, [&](const MemMap::Run& run) {
      check(run.count > 0 && run.first == expected && run.first + run.count <= range.end);
      check(run.struct_pages.empty() || run.struct_pages.size() == run.count * markers.struct_size);
      expected = run.first + run.count;
    });
    check(expected == range.end);
  }
  map.own_pages();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr uint64_t mib = uint64_t{1} << 20;
  DumpBuilder machine({.ram = {{0x4000'0000, 4 * mib}}, .image_size = mib});
  PageBuilder pages(machine, {.section_size_bits = 27, .max_physmem_bits = 36, .vmemmap_blocks = false});
  const uint8_t* const nul = std::find(data, data + size, uint8_t{0});
  const std::string_view text = as_text({data, static_cast<size_t>(nul - data)});
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    const size_t equals = line.find('=');
    if (equals != std::string_view::npos)
      machine.set(std::string(line.substr(0, equals)), std::string(line.substr(equals + 1)));
    at = end + 1;
  }
  if (nul != data + size) {
    // Section number of 1 GiB in units of 128 MiB, 256 sections to a root.
    const Bytes bytes(nul + 1, static_cast<size_t>(data + size - nul - 1));
    const VirtAddr root{machine.phys_u64(machine.phys(pages.mem_section()))};
    const size_t table = std::min<size_t>(bytes.size(), 256);
    machine.put(root + 8 * 16, bytes.first(table));
    if (bytes.size() > table)
      machine.put(pages.mem_section(), bytes.subspan(table, std::min<size_t>(bytes.size() - table, 8)));
  }
  try {
    exercise(machine);
  } catch (const Error&) {
  }
  return 0;
}
