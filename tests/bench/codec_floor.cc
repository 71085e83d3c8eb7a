// What the compressor alone costs: reads every page of a dump into memory, then compresses them one by one,
// as kdump-capture does but with nothing around it. capture_bench.py holds kdump-capture's CPU time against
// this.
//
//   codec_floor DUMP CODEC     prints the CPU seconds of one pass over the pages that are not zero, of equal
//   ones the first
#include <cstdio>
#include <cstring>
#include <ctime>
#include <exception>
#include <filesystem>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "core/formats/codec.h"
#include "core/formats/dump.h"

namespace {

bool is_zero(kdk::Bytes page) {
  return page[0] == 0 && std::memcmp(page.data(), page.data() + 1, page.size() - 1) == 0;
}

int run(const char* path, const char* codec_name) {
  const std::optional<kdk::Codec> codec = kdk::parse_codec(codec_name);
  if (!codec) {
    std::fprintf(stderr, "%s: no codec of this name\n", codec_name);
    return 2;
  }
  const std::unique_ptr<kdk::Dump> dump = kdk::open_dump(std::filesystem::path(path));
  const size_t page_size = dump->info().page_size;
  const std::unique_ptr<kdk::PageReader> reader = dump->reader();
  std::vector<uint8_t> pages;
  std::unordered_set<size_t> seen;  // hashes
  for (const kdk::PfnRange& range : dump->ram()) {
    for (kdk::Pfn pfn = range.begin; pfn < range.end; pfn = pfn + 1) {
      const kdk::PageView view = reader->page(pfn);
      if (view.state != kdk::PageState::present || is_zero(view.bytes)) continue;
      if (!seen.insert(std::hash<std::string_view>()(kdk::as_text(view.bytes))).second) continue;
      pages.insert(pages.end(), view.bytes.begin(), view.bytes.end());
    }
  }
  const std::unique_ptr<kdk::Compressor> compressor = kdk::make_compressor(*codec, 0, dump->info().page_size);
  std::vector<uint8_t> out(compressor->max_size() + page_size);
  uint64_t bytes = 0;
  const std::clock_t begin = std::clock();
  for (size_t at = 0; at < pages.size(); at += page_size) {
    bytes += compressor->compress({pages.data() + at, page_size}, out);
  }
  const std::clock_t end = std::clock();
  std::fprintf(stderr, "%zu pages to %.1f MB\n", pages.size() / page_size, static_cast<double>(bytes) / 1e6);
  std::printf("%.4f\n", static_cast<double>(end - begin) / CLOCKS_PER_SEC);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: codec_floor DUMP CODEC\n");
    return 2;
  }
  try {
    return run(argv[1], argv[2]);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
