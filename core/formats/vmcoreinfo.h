// VMCOREINFO: the text note in which the crashed kernel says what a dump tool needs to know about it.
// Source: Documentation/admin-guide/kdump/vmcoreinfo.rst, kernel/vmcore_info.c (kernel/crash_core.c before
// v6.9).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/bytes.h"

namespace kdk {

// The text in what people keep of a VMCOREINFO: the text itself (also as makedumpfile -g writes it), the
// bytes of a run of ELF notes that has it, or what is read from the physical address in
// /sys/kernel/vmcoreinfo. Throws Error{format} saying what the bytes are instead; `name` is for that message.
std::string vmcoreinfo_text(Bytes file, std::string_view name);

class Vmcoreinfo {
 public:
  Vmcoreinfo() = default;
  // Parses "KEY=VALUE" lines. Lines without '=' are ignored (a note can be cut at one page: then the last
  // line is partial and is dropped); later duplicates win, as appended CRASHTIME does. Never throws.
  static Vmcoreinfo parse(std::string_view text);

  bool empty() const { return values_.empty(); }
  const std::string& text() const { return text_; }

  // The raw value of a whole key, for example "OSRELEASE" or "NUMBER(VA_BITS)".
  std::optional<std::string_view> value(std::string_view key) const;

  // SYMBOL(name): hexadecimal virtual address.
  std::optional<uint64_t> symbol(std::string_view name) const;
  // SIZE(name) bytes, OFFSET(type.member) bytes, LENGTH(name) elements: decimal.
  std::optional<uint64_t> size(std::string_view name) const;
  std::optional<uint64_t> offset(std::string_view type_member) const;
  std::optional<uint64_t> length(std::string_view name) const;
  // NUMBER(name): decimal (signed or unsigned) or 0x-hexadecimal; the 64-bit pattern. Truncate to 32 bits
  // where the kernel value is an int.
  std::optional<uint64_t> number(std::string_view name) const;
  // A bare hexadecimal key without 0x, such as KERNELOFFSET.
  std::optional<uint64_t> hex(std::string_view key) const;
  // A bare decimal key such as PAGESIZE or CRASHTIME.
  std::optional<uint64_t> decimal(std::string_view key) const;

  // Like symbol()/number() but throws Error{missing} naming the key.
  uint64_t require_symbol(std::string_view name) const;
  uint64_t require_number(std::string_view name) const;

 private:
  std::string text_;
  std::map<std::string, std::string, std::less<>> values_;
};

}  // namespace kdk
