#include "core/formats/vmcoreinfo.h"

#include <fmt/format.h>

#include <charconv>

#include "core/base/error.h"
#include "core/formats/notes.h"

namespace kdk {
namespace {

// All of `digits` as an unsigned number, or nullopt (empty, trailing text, more than 64 bits).
std::optional<uint64_t> parse_unsigned(std::string_view digits, int base) {
  uint64_t value = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

bool has_hex_prefix(std::string_view text) {
  return text.starts_with("0x") || text.starts_with("0X");
}

std::optional<uint64_t> parse_hex(std::string_view text) {
  if (has_hex_prefix(text)) text.remove_prefix(2);
  return parse_unsigned(text, 16);
}

// "-12", "12" or "0x12".
std::optional<uint64_t> parse_number(std::string_view text) {
  if (has_hex_prefix(text)) return parse_hex(text);
  if (!text.starts_with('-')) return parse_unsigned(text, 10);
  std::optional<uint64_t> magnitude = parse_unsigned(text.substr(1), 10);
  if (!magnitude || *magnitude > uint64_t{1} << 63) return std::nullopt;
  return ~*magnitude + 1;
}

// Two hexadecimal numbers: the physical address and the size of the note.
bool is_address_of_note(std::string_view text) {
  const size_t space = text.find(' ');
  while (text.ends_with('\n')) text.remove_suffix(1);
  return space != std::string_view::npos && parse_hex(text.substr(0, space)) &&
         parse_hex(text.substr(space + 1));
}

}  // namespace

std::string vmcoreinfo_text(Bytes file, std::string_view name) {
  std::string text(as_text(file));
  for (const Note& note : parse_notes(file)) {
    if (note.name == "VMCOREINFO") text = as_text(note.desc);
  }
  text = text.substr(0, text.find('\0'));  // a note is padded to its page
  if (!text.empty() && text.back() != '\n') text += '\n';
  const Vmcoreinfo info = Vmcoreinfo::parse(text);
  if (info.value("OSRELEASE")) return text;
  Error error(Errc::format, fmt::format("{}: not a VMCOREINFO: it has no OSRELEASE", name));
  if (is_address_of_note(text)) {
    error =
        Error(Errc::format,
              fmt::format("{}: only the address of a VMCOREINFO, as /sys/kernel/vmcoreinfo has it", name));
  }
  throw error.with_hint("a text of KEY=VALUE lines, or the bytes of the ELF note that holds it");
}

Vmcoreinfo Vmcoreinfo::parse(std::string_view text) {
  text = text.substr(0, text.find('\0'));  // a note may be padded
  Vmcoreinfo info;
  info.text_ = text;
  for (size_t newline = text.find('\n'); newline != std::string_view::npos; newline = text.find('\n')) {
    std::string_view line = text.substr(0, newline);
    text.remove_prefix(newline + 1);
    size_t equals = line.find('=');
    if (equals == std::string_view::npos || equals == 0) continue;
    info.values_.insert_or_assign(std::string(line.substr(0, equals)), std::string(line.substr(equals + 1)));
  }
  return info;
}

std::optional<std::string_view> Vmcoreinfo::value(std::string_view key) const {
  auto found = values_.find(key);
  if (found == values_.end()) return std::nullopt;
  return found->second;
}

std::optional<uint64_t> Vmcoreinfo::symbol(std::string_view name) const {
  return hex(fmt::format("SYMBOL({})", name));
}
std::optional<uint64_t> Vmcoreinfo::size(std::string_view name) const {
  return decimal(fmt::format("SIZE({})", name));
}
std::optional<uint64_t> Vmcoreinfo::offset(std::string_view type_member) const {
  return decimal(fmt::format("OFFSET({})", type_member));
}
std::optional<uint64_t> Vmcoreinfo::length(std::string_view name) const {
  return decimal(fmt::format("LENGTH({})", name));
}

std::optional<uint64_t> Vmcoreinfo::number(std::string_view name) const {
  std::optional<std::string_view> text = value(fmt::format("NUMBER({})", name));
  return text ? parse_number(*text) : std::nullopt;
}

std::optional<uint64_t> Vmcoreinfo::hex(std::string_view key) const {
  std::optional<std::string_view> text = value(key);
  return text ? parse_hex(*text) : std::nullopt;
}

std::optional<uint64_t> Vmcoreinfo::decimal(std::string_view key) const {
  std::optional<std::string_view> text = value(key);
  return text ? parse_unsigned(*text, 10) : std::nullopt;
}

uint64_t Vmcoreinfo::require_symbol(std::string_view name) const {
  if (std::optional<uint64_t> address = symbol(name)) return *address;
  throw Error(Errc::missing, fmt::format("VMCOREINFO has no usable SYMBOL({})", name));
}

uint64_t Vmcoreinfo::require_number(std::string_view name) const {
  if (std::optional<uint64_t> n = number(name)) return *n;
  throw Error(Errc::missing, fmt::format("VMCOREINFO has no usable NUMBER({})", name));
}

}  // namespace kdk
