#include "tests/support/packers.h"

#include <lz4.h>
#include <lz4frame.h>
#include <lzma.h>
#include <lzo/lzo1x.h>
#include <zlib.h>

#include <algorithm>
#include <initializer_list>
#include <stdexcept>

namespace kdk::testing {
namespace {

void append(std::vector<uint8_t>& out, Bytes more) {
  out.insert(out.end(), more.begin(), more.end());
}
template <typename T>
void put(std::vector<uint8_t>& out, T value) {
  out.resize(out.size() + sizeof value);
  store(out, out.size() - sizeof value, value);
}

void require(bool condition, const char* what) {
  if (!condition) throw std::runtime_error(what);
}

}  // namespace

std::vector<uint8_t> xz(Bytes data) {
  std::vector<uint8_t> out(lzma_stream_buffer_bound(data.size()));
  size_t size = 0;
  require(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, nullptr, data.data(), data.size(), out.data(), &size,
                                  out.size()) == LZMA_OK,
          "xz");
  out.resize(size);
  return out;
}

std::vector<uint8_t> lzma(Bytes data) {
  lzma_options_lzma options;
  require(!lzma_lzma_preset(&options, 1), "lzma");
  lzma_stream stream = LZMA_STREAM_INIT;
  require(lzma_alone_encoder(&stream, &options) == LZMA_OK, "lzma");
  std::vector<uint8_t> out(data.size() + 1024);
  stream.next_in = data.data();
  stream.avail_in = data.size();
  stream.next_out = out.data();
  stream.avail_out = out.size();
  lzma_ret status = lzma_code(&stream, LZMA_FINISH);
  out.resize(stream.total_out);
  lzma_end(&stream);
  require(status == LZMA_STREAM_END, "lzma");
  return out;
}

std::vector<uint8_t> lz4_legacy(Bytes data) {
  constexpr size_t block = 8 << 20;
  std::vector<uint8_t> out;
  put(out, ul32(0x184c2102));
  for (size_t at = 0; at < data.size(); at += block) {
    Bytes part = data.subspan(at, std::min(block, data.size() - at));
    std::vector<char> packed(static_cast<size_t>(LZ4_compressBound(static_cast<int>(part.size()))));
    int size = LZ4_compress_default(as_text(part).data(), packed.data(), static_cast<int>(part.size()),
                                    static_cast<int>(packed.size()));
    put(out, ul32(static_cast<uint32_t>(size)));
    append(out, as_bytes({packed.data(), static_cast<size_t>(size)}));
  }
  return out;
}

std::vector<uint8_t> lz4_frame(Bytes data) {
  std::vector<uint8_t> out(LZ4F_compressFrameBound(data.size(), nullptr));
  size_t size = LZ4F_compressFrame(out.data(), out.size(), data.data(), data.size(), nullptr);
  require(!LZ4F_isError(size), "lz4");
  out.resize(size);
  return out;
}

std::vector<uint8_t> lzop(Bytes data) {
  constexpr size_t block = 256 << 10;
  std::vector<uint8_t> out;
  append(out, as_bytes({"\x89LZO\0\r\n\x1a\n", 9}));
  for (uint16_t version : std::initializer_list<uint16_t>{0x1030, 0x20a0, 0x0940}) put(out, ub16(version));
  append(out, as_bytes({"\x01\x05", 2}));  // method, level
  for (uint32_t word : {0x1u, 0644u, 0u, 0u})
    put(out, ub32(word));  // flags (Adler-32 of the data), mode, time
  out.push_back(0);        // name
  put(out, ub32(static_cast<uint32_t>(adler32_z(1, out.data() + 9, out.size() - 9))));
  std::vector<uint8_t> work(LZO1X_1_MEM_COMPRESS), packed(block + block / 16 + 67);
  for (size_t at = 0; at < data.size(); at += block) {
    Bytes part = data.subspan(at, std::min(block, data.size() - at));
    lzo_uint size = packed.size();
    require(lzo1x_1_compress(part.data(), part.size(), packed.data(), &size, work.data()) == LZO_E_OK, "lzo");
    Bytes stored = size < part.size() ? Bytes(packed).first(size) : part;
    put(out, ub32(static_cast<uint32_t>(part.size())));
    put(out, ub32(static_cast<uint32_t>(stored.size())));
    put(out, ub32(static_cast<uint32_t>(adler32_z(1, part.data(), part.size()))));
    append(out, stored);
  }
  put(out, ub32(0));
  return out;
}

std::vector<uint8_t> with_size(std::vector<uint8_t> packed, uint64_t size) {
  put(packed, ul32(static_cast<uint32_t>(size)));
  return packed;
}

}  // namespace kdk::testing
