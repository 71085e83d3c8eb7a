// Prints what our readers see, page by page, so that a test can hold it against another program's view of the
// same machine: one line "PFN STATE CRC32" per page frame of RAM (the CRC of zlib; "-" when there are no
// bytes).
//
//   page_hash DUMP...          several files: the parts of a split set
#include <fmt/format.h>
#include <zlib.h>

#include <cstdio>

#include "core/base/cli.h"
#include "core/formats/dump.h"

namespace {

int print_pages(const kdk::Dump& dump) {
  const kdk::DumpInfo& info = dump.info();
  fmt::print("# page_size {} flattened {} parts {} incomplete {} vmcoreinfo {} notes {}\n", info.page_size,
             info.flattened, info.split_parts, info.incomplete, dump.vmcoreinfo().text().size(),
             dump.notes().size());
  for (const std::string& problem : dump.problems()) fmt::print("# problem: {}\n", problem);
  if (info.incomplete) fmt::print("# incomplete: {}\n", info.incomplete_reason);
  std::unique_ptr<kdk::PageReader> reader = dump.reader();
  for (const kdk::PfnRange& range : dump.ram()) {
    for (kdk::Pfn pfn = range.begin; pfn < range.end; pfn = pfn + 1) {
      kdk::PageView page = reader->page(pfn);
      std::string crc = "-";
      if (page.state == kdk::PageState::present) {
        crc = fmt::format("{:08x}", crc32(0, page.bytes.data(), static_cast<uInt>(page.bytes.size())));
      }
      fmt::print("{} {} {}\n", pfn.value, to_string(page.state), crc);
    }
  }
  return kdk::exit_done;
}

}  // namespace

int main(int argc, char** argv) {
  return kdk::run_main("page_hash", [&] {
    std::vector<std::filesystem::path> paths(argv + 1, argv + argc);
    return print_pages(*kdk::open_dump(paths));
  });
}
