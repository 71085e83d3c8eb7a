// Call frame information, entry by entry.
#pragma once

#include <dwarf.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"

namespace kdk::test {

using Code = std::vector<uint8_t>;

template <typename T>
void append_value(Code& out, T value) {
  out.resize(out.size() + sizeof value);
  store(MutableBytes(out), out.size() - sizeof value, value);
}

// .debug_frame of 32-bit DWARF, version 1 entries.
class FrameSection {
 public:
  // Returns the entry's offset. `first` are the initial instructions.
  uint32_t cie(std::string_view augmentation, uint8_t return_register, const Code& first) {
    Code body;
    append_value(body, ul32(0xffffffff));
    body.push_back(1);
    body.insert(body.end(), augmentation.begin(), augmentation.end());
    body.push_back(0);
    body.push_back(1);     // code alignment
    body.push_back(0x78);  // data alignment -8
    body.push_back(return_register);
    body.insert(body.end(), first.begin(), first.end());
    return entry(body);
  }
  void fde(uint32_t cie, uint64_t begin, uint64_t size, const Code& code) {
    Code body;
    append_value(body, ul32(cie));
    append_value(body, ul64(begin));
    append_value(body, ul64(size));
    body.insert(body.end(), code.begin(), code.end());
    entry(body);
  }
  const Code& bytes() const { return bytes_; }

 private:
  uint32_t entry(Code body) {
    while ((body.size() + 4) % 8 != 0) body.push_back(DW_CFA_nop);
    const auto offset = static_cast<uint32_t>(bytes_.size());
    append_value(bytes_, ul32(static_cast<uint32_t>(body.size())));
    bytes_.insert(bytes_.end(), body.begin(), body.end());
    return offset;
  }
  Code bytes_;
};

}  // namespace kdk::test
