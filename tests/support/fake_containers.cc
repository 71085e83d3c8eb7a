#include "tests/support/fake_containers.h"

#include <algorithm>

namespace kdk::testing {
namespace {

void copy_text(std::string_view text, std::vector<uint8_t>& out, size_t at) {
  std::copy(text.begin(), text.end(), out.begin() + static_cast<ptrdiff_t>(at));
}

}  // namespace

std::vector<uint8_t> make_zboot(std::string_view method, Bytes payload) {
  constexpr uint32_t payload_at = 0x200;
  std::vector<uint8_t> out(payload_at);
  copy_text(std::string_view("MZ\0\0zimg", 8), out, 0);
  store(out, 8, ul32(payload_at));
  store(out, 12, ul32(static_cast<uint32_t>(payload.size())));
  copy_text(method, out, 24);
  store(out, 56, ul32(0x818223cd));
  out.insert(out.end(), payload.begin(), payload.end());
  return out;
}

std::vector<uint8_t> make_unified(
    const std::vector<std::pair<std::string_view, std::vector<uint8_t>>>& sections) {
  constexpr uint64_t coff_at = 0x40, optional_at = coff_at + 24, optional_size = 160, block = 512;
  const uint64_t table = optional_at + optional_size;
  std::vector<uint8_t> out(align_up(table + 40 * sections.size(), block));
  copy_text("MZ", out, 0);
  store(out, 0x3c, ul32(coff_at));
  store(out, coff_at, ul32(0x4550));
  store(out, coff_at + 4, ul16(0xaa64));
  store(out, coff_at + 6, ul16(static_cast<uint16_t>(sections.size())));
  store(out, coff_at + 20, ul16(optional_size));
  store(out, optional_at, ul16(0x20b));
  for (size_t i = 0; i < sections.size(); ++i) {
    const auto& [name, content] = sections[i];
    const uint64_t header = table + 40 * i;
    const uint64_t size = align_up(content.size(), block);
    copy_text(name, out, header);
    store(out, header + 8, ul32(static_cast<uint32_t>(content.size())));
    store(out, header + 16, ul32(static_cast<uint32_t>(size)));
    store(out, header + 20, ul32(static_cast<uint32_t>(out.size())));
    out.insert(out.end(), content.begin(), content.end());
    out.resize(align_up(out.size(), block));
  }
  return out;
}

std::vector<uint8_t> FakeElf::bytes() const {
  const size_t header_size = 64, entry_size = 56;
  std::vector<uint8_t> out(header_size + entry_size * segments.size());
  auto put = [&](uint64_t at, auto value) {
    store(out, at, big_endian ? byteswap(value) : value);  // on a little-endian machine
  };
  copy_text(
      "\x7f"
      "ELF\x02",
      out, 0);
  out[5] = big_endian ? 2 : 1;
  put(18, machine);
  put(32, uint64_t{header_size});
  put(54, static_cast<uint16_t>(entry_size));
  put(56, static_cast<uint16_t>(segments.size()));
  for (size_t i = 0; i < segments.size(); ++i) {
    const auto& [address, data] = segments[i];
    const uint64_t entry = header_size + entry_size * i;
    put(entry, uint32_t{1});
    put(entry + 8, uint64_t{out.size()});
    put(entry + 24, address);
    put(entry + 32, uint64_t{data.size()});
    put(entry + 40, uint64_t{data.size()});
    out.insert(out.end(), data.begin(), data.end());
  }
  return out;
}

}  // namespace kdk::testing
