#include "analyze/inspect/kernel_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "core/base/log.h"
#include "core/formats/unpack_module.h"
#include "core/kernel/system.h"

namespace kdk {
namespace {

constexpr std::string_view begin_mark = "IKCFG_ST", end_mark = "IKCFG_ED";
constexpr uint64_t most_packed = 4 << 20, most_unpacked = 16 << 20;  // real: 70 and 300 KiB
constexpr uint64_t most_image = 128 << 20;
constexpr size_t most_options = 1 << 17, most_line = 4096;

// Where the packed bytes begin: at the symbol, or behind the mark in the image's data.
std::optional<VirtAddr> find_packed(Kernel& kernel) {
  KernelMemory& memory = kernel.memory();
  if (const auto at = kernel.symbol("kernel_config_data")) return at;
  const auto text_end = kernel.symbol("_etext");
  if (!text_end) return std::nullopt;
  const uint64_t page = memory.page_size();
  std::vector<uint8_t> window(page + begin_mark.size() - 1);
  const uint64_t first = align_down(text_end->value, page);
  for (uint64_t at = first; at < first + most_image; at += page) {
    // The mark may lie across two pages. Behind the image nothing is mapped.
    const ReadResult read = memory.read(VirtAddr{at}, window);
    if (!read && read.bytes == 0) {
      if (read.status == ReadStatus::unmapped) break;
      continue;
    }
    const std::string_view seen(reinterpret_cast<const char*>(window.data()), read.bytes);
    for (size_t hit = seen.find(begin_mark); hit != std::string_view::npos;
         hit = seen.find(begin_mark, hit + 1)) {
      const VirtAddr packed{at + hit + begin_mark.size()};
      // The search finds the marks of its own source in kernel/configs.c, too: gzip does not follow those.
      if (memory.u16(packed) == uint16_t{0x8b1f}) return packed;
    }
  }
  return std::nullopt;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

}  // namespace

std::vector<ConfigOption> parse_config(std::string_view text) {
  constexpr std::string_view unset = "# ", not_set = " is not set", prefix = "CONFIG_";
  std::vector<ConfigOption> out;
  while (!text.empty() && out.size() < most_options) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.size() > most_line) continue;
    if (line.starts_with(unset) && line.ends_with(not_set)) {
      line = line.substr(unset.size(), line.size() - unset.size() - not_set.size());
      if (line.starts_with(prefix)) out.push_back({escape_untrusted(line), ""});
      continue;
    }
    const size_t equals = line.find('=');
    if (!line.starts_with(prefix) || equals == std::string_view::npos) continue;
    out.push_back({escape_untrusted(line.substr(0, equals)), escape_untrusted(line.substr(equals + 1))});
  }
  return out;
}

KernelConfig read_kernel_config(Kernel& kernel, const std::vector<std::string>& wanted) {
  KernelConfig out;
  out.release = system_from_dump(kernel.dump()).release;
  const auto at = find_packed(kernel);
  if (!at) {
    out.why_not = fmt::format(
        "the kernel does not carry its configuration (CONFIG_IKCONFIG=n); it is in /boot/config-{} of the "
        "machine, "
        "or in its kernel's package",
        out.release.empty() ? "RELEASE" : out.release);
    return out;
  }
  std::vector<uint8_t> packed(most_packed);
  const ReadResult read = kernel.memory().read(*at, packed);
  packed.resize(read.bytes);
  const std::string_view bytes(reinterpret_cast<const char*>(packed.data()), packed.size());
  const size_t end = bytes.find(end_mark);
  if (end == std::string_view::npos)
    throw Error(Errc::format, fmt::format("the configuration at {:#x} has no end", at->value));
  const std::vector<uint8_t> text =
      unpack_gzip(Bytes(packed).first(end), "the kernel's configuration", most_unpacked);
  out.options = parse_config({reinterpret_cast<const char*>(text.data()), text.size()});
  if (wanted.empty()) return out;
  std::erase_if(out.options, [&](const ConfigOption& option) {
    return std::ranges::none_of(wanted, [&](const std::string& word) {
      return lower(option.name).find(lower(word)) != std::string::npos;
    });
  });
  return out;
}

}  // namespace kdk
