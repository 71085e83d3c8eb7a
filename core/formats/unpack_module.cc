#include "core/formats/unpack_module.h"

#include <fmt/format.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include "core/base/error.h"

namespace kdk {
namespace {

constexpr size_t step = size_t{1} << 20;

// Calls `more(room)`, which fills the room at the end and returns what is left of it, until `done()`.
template <typename More>
std::vector<uint8_t> grow(std::string_view name, uint64_t limit, More&& more) {
  std::vector<uint8_t> out;
  for (bool done = false; !done;) {
    const size_t used = out.size();
    if (used > limit)
      throw Error(Errc::format, fmt::format("{}: unpacks to more than a module can be", name));
    out.resize(used + step);
    const size_t written = more(out.data() + used, step, done);
    out.resize(used + written);
    if (!done && written == 0) throw Error(Errc::format, fmt::format("{}: is cut off", name));
  }
  return out;
}

Error damaged(std::string_view name, std::string_view how) {
  return Error(Errc::format, fmt::format("{}: damaged {}", name, how))
      .with_hint("install the kernel's package again");
}

std::vector<uint8_t> unpack_xz(Bytes file, std::string_view name, uint64_t limit) {
  lzma_stream stream = LZMA_STREAM_INIT;
  if (lzma_stream_decoder(&stream, uint64_t{256} << 20, LZMA_CONCATENATED) != LZMA_OK) throw std::bad_alloc();
  const std::unique_ptr<lzma_stream, void (*)(lzma_stream*)> owner(&stream, lzma_end);
  stream.next_in = file.data();
  stream.avail_in = file.size();
  return grow(name, limit, [&](uint8_t* room, size_t size, bool& done) {
    stream.next_out = room;
    stream.avail_out = size;
    const lzma_ret result = lzma_code(&stream, LZMA_FINISH);
    if (result != LZMA_OK && result != LZMA_STREAM_END) throw damaged(name, "xz data");
    done = result == LZMA_STREAM_END;
    return size - stream.avail_out;
  });
}

constexpr std::initializer_list<uint8_t> xz_magic = {0xfd, '7', 'z', 'X', 'Z', 0};
constexpr std::initializer_list<uint8_t> zstd_magic = {0x28, 0xb5, 0x2f, 0xfd};
constexpr std::initializer_list<uint8_t> gzip_magic = {0x1f, 0x8b};

bool begins(Bytes file, std::initializer_list<uint8_t> magic) {
  return file.size() >= magic.size() && std::equal(magic.begin(), magic.end(), file.begin());
}

}  // namespace

std::vector<uint8_t> unpack_gzip(Bytes file, std::string_view name, uint64_t limit) {
  z_stream stream{};
  if (inflateInit2(&stream, 15 + 16) != Z_OK) throw std::bad_alloc();  // 16: a gzip header
  const std::unique_ptr<z_stream, int (*)(z_stream*)> owner(&stream, inflateEnd);
  stream.next_in = const_cast<uint8_t*>(file.data());  // zlib's interface is older than const
  stream.avail_in = static_cast<uInt>(file.size());
  return grow(name, limit, [&](uint8_t* room, size_t size, bool& done) {
    stream.next_out = room;
    stream.avail_out = static_cast<uInt>(size);
    const int result = inflate(&stream, Z_NO_FLUSH);
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) throw damaged(name, "gzip data");
    done = result == Z_STREAM_END;
    return size - stream.avail_out;
  });
}

std::vector<uint8_t> unpack_zstd(Bytes packed, std::string_view name, uint64_t limit) {
  const std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
  if (!context) throw std::bad_alloc();
  ZSTD_inBuffer in = {packed.data(), packed.size(), 0};
  return grow(name, limit, [&](uint8_t* room, size_t size, bool& done) {
    ZSTD_outBuffer out = {room, size, 0};
    const size_t left = ZSTD_decompressStream(context.get(), &out, &in);
    if (ZSTD_isError(left) != 0) throw damaged(name, "zstd data");
    done = left == 0 && in.pos == in.size;
    return out.pos;
  });
}

bool is_packed_module(Bytes file) {
  return begins(file, xz_magic) || begins(file, zstd_magic) || begins(file, gzip_magic);
}

std::vector<uint8_t> unpack_module(Bytes file, std::string_view name, uint64_t limit) {
  std::vector<uint8_t> out;
  if (begins(file, xz_magic)) {
    out = unpack_xz(file, name, limit);
  } else if (begins(file, zstd_magic)) {
    out = unpack_zstd(file, name, limit);
  } else if (begins(file, gzip_magic)) {
    out = unpack_gzip(file, name, limit);
  } else {
    out.assign(file.begin(), file.end());
  }
  if (!begins(out, {0x7f, 'E', 'L', 'F'})) throw damaged(name, "module: no ELF file");
  return out;
}

std::vector<std::string> module_info(Bytes module, std::string_view key) {
  // .modinfo is NUL-terminated "key=value" strings; looked for in the whole file, which finds the same
  // strings without a reader of section tables.
  const std::string wanted = std::string(1, '\0') + std::string(key) + "=";
  std::vector<std::string> out;
  auto at = module.begin();
  for (;;) {
    at = std::search(at, module.end(), wanted.begin(), wanted.end());
    if (at == module.end()) return out;
    at += static_cast<std::ptrdiff_t>(wanted.size());
    const auto end = std::find(at, module.end(), 0);
    out.emplace_back(at, end);
    at = end;
  }
}

}  // namespace kdk
