// The first byte chooses the codec, the second the page size; the rest is expanded and, as a page, compressed
// and expanded again.
#include "core/formats/codec.h"

#include <algorithm>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  constexpr kdk::Codec codecs[] = {kdk::Codec::none, kdk::Codec::zlib, kdk::Codec::lzo, kdk::Codec::snappy,
                                   kdk::Codec::zstd};
  kdk::Codec codec = codecs[data[0] % 5];
  uint32_t page_size = 4096u << (data[1] % 5);
  kdk::Bytes input{data + 2, size - 2};

  static kdk::Decompressor decompressor;  // a damaged page must not spoil the context for the next
  std::vector<uint8_t> page(page_size), stored, back(page_size);
  decompressor.decompress(codec, input, page);

  std::copy_n(input.begin(), std::min<size_t>(input.size(), page_size), page.begin());
  std::unique_ptr<kdk::Compressor> compressor = kdk::make_compressor(codec, 0, page_size);
  stored.resize(compressor->max_size());
  size_t n = compressor->compress(page, stored);
  if (n >= page_size) __builtin_trap();
  if (n != 0 && (!decompressor.decompress(codec, {stored.data(), n}, back) || back != page)) __builtin_trap();
  return 0;
}
