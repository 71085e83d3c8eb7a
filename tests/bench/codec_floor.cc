// What compressing alone costs: reads every page of a dump into memory, then compresses them one by one, with
// nothing around it. capture_bench.py holds kdump-capture's CPU time against this.
//
//   codec_floor DUMP CODEC             as kdump-capture does
//   codec_floor DUMP CODEC --library   every page by zlib 1, lzo1x_1 or zstd 1, as makedumpfile does
//
// Prints the CPU seconds of one pass over the pages that are not zero, of equal ones the first.
#include <lzo/lzo1x.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "core/base/error.h"
#include "core/formats/codec.h"
#include "core/formats/dump.h"

namespace {

using Compress = std::function<size_t(kdk::Bytes)>;  // compressed size; the page's when it does not shrink

bool is_zero(kdk::Bytes page) {
  return page[0] == 0 && std::memcmp(page.data(), page.data() + 1, page.size() - 1) == 0;
}

// One after the other.
std::vector<uint8_t> pages_to_compress(const kdk::Dump& dump) {
  const std::unique_ptr<kdk::PageReader> reader = dump.reader();
  std::vector<uint8_t> pages;
  std::unordered_set<size_t> seen;  // hashes
  for (const kdk::PfnRange& range : dump.ram()) {
    for (kdk::Pfn pfn = range.begin; pfn < range.end; pfn = pfn + 1) {
      const kdk::PageView view = reader->page(pfn);
      if (view.state != kdk::PageState::present || is_zero(view.bytes)) continue;
      if (!seen.insert(std::hash<std::string_view>()(kdk::as_text(view.bytes))).second) continue;
      pages.insert(pages.end(), view.bytes.begin(), view.bytes.end());
    }
  }
  return pages;
}

Compress ours(kdk::Codec codec, uint32_t page_size) {
  std::shared_ptr<kdk::Compressor> compressor = kdk::make_compressor(codec, 0, page_size);
  std::vector<uint8_t> out(compressor->max_size() + page_size);
  return [compressor, out](kdk::Bytes page) mutable {
    const size_t size = compressor->compress(page, out);
    return size == 0 ? page.size() : size;
  };
}

Compress of_zlib(uint32_t page_size) {
  const std::shared_ptr<z_stream> stream(new z_stream{}, [](z_stream* s) {
    deflateEnd(s);
    delete s;
  });
  if (deflateInit(stream.get(), 1) != Z_OK) throw kdk::Error(kdk::Errc::io, "zlib: no context");
  return
      [stream, out = std::vector<uint8_t>(deflateBound(stream.get(), page_size))](kdk::Bytes page) mutable {
        deflateReset(stream.get());
        stream->next_in = const_cast<Bytef*>(page.data());  // zlib does not write there
        stream->avail_in = static_cast<uInt>(page.size());
        stream->next_out = out.data();
        stream->avail_out = static_cast<uInt>(out.size());
        deflate(stream.get(), Z_FINISH);
        return stream->total_out;
      };
}

Compress of_lzo(uint32_t page_size) {
  std::vector<uint8_t> out(page_size + page_size / 16 + 64 + 3), work(LZO1X_1_MEM_COMPRESS);  // LZO FAQ
  return [out, work](kdk::Bytes page) mutable {
    lzo_uint size = 0;
    lzo1x_1_compress(page.data(), page.size(), out.data(), &size, work.data());
    return size;
  };
}

Compress of_zstd(uint32_t page_size) {
  const std::shared_ptr<ZSTD_CCtx> context(ZSTD_createCCtx(), ZSTD_freeCCtx);
  std::vector<uint8_t> out(ZSTD_compressBound(page_size));
  return [context, out](kdk::Bytes page) mutable {
    return ZSTD_compressCCtx(context.get(), out.data(), out.size(), page.data(), page.size(), 1);
  };
}

Compress of_library(kdk::Codec codec, uint32_t page_size) {
  switch (codec) {
    case kdk::Codec::zlib:
      return of_zlib(page_size);
    case kdk::Codec::lzo:
      return of_lzo(page_size);
    case kdk::Codec::zstd:
      return of_zstd(page_size);
    case kdk::Codec::none:
    case kdk::Codec::snappy:
      break;
  }
  throw kdk::Error(kdk::Errc::unsupported, std::string(kdk::to_string(codec)) + ": no library to measure");
}

int run(const char* path, std::string_view codec_name, bool library) {
  const std::optional<kdk::Codec> codec = kdk::parse_codec(codec_name);
  if (!codec) throw kdk::Error(kdk::Errc::unsupported, std::string(codec_name) + ": no codec of this name");
  const std::unique_ptr<kdk::Dump> dump = kdk::open_dump(std::filesystem::path(path));
  const uint32_t page_size = dump->info().page_size;
  const std::vector<uint8_t> pages = pages_to_compress(*dump);
  const Compress compress = library ? of_library(*codec, page_size) : ours(*codec, page_size);
  uint64_t bytes = 0;
  const std::clock_t begin = std::clock();
  for (size_t at = 0; at < pages.size(); at += page_size) {
    bytes += std::min<size_t>(compress({pages.data() + at, page_size}), page_size);
  }
  const std::clock_t end = std::clock();
  std::fprintf(stderr, "%zu pages to %.1f MB\n", pages.size() / page_size, static_cast<double>(bytes) / 1e6);
  std::printf("%.4f\n", static_cast<double>(end - begin) / CLOCKS_PER_SEC);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const bool library = argc == 4 && std::string_view(argv[3]) == "--library";
  if (argc != 3 && !library) {
    std::fprintf(stderr, "usage: codec_floor DUMP CODEC [--library]\n");
    return 2;
  }
  try {
    return run(argv[1], argv[2], library);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
