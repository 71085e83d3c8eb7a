#include "loader/plan/command_line.h"

#include <algorithm>
#include <array>

namespace kdk {
namespace {

// What a line that is reused says about a normal boot, not the crash kernel's. A name ending
// in '*' stands for all options that begin so.
constexpr std::array<std::string_view, 41> hostile_options = {
    // the boot loader's or firmware's words about the running kernel's files
    "BOOT_IMAGE", "initrd", "elfcorehdr",
    // a second reservation inside the first; memory the crash kernel must not be talked out of
    "crashkernel", "mem", "memmap", "movablecore", "kernelcore", "hugepages*", "default_hugepagesz",
    "hugetlb_cma", "hugetlb_free_vmemmap", "cma", "log_buf_len", "swiotlb", "trace_buf_size", "ftrace*",
    "trace_event", "reserve_mem",
    // debugging aids that cost memory or time
    "slub_debug", "slab_debug", "page_owner", "page_poison", "debug_pagealloc", "kmemleak",
    "kfence.sample_interval",
    // a crash kernel that panics over a warning or a slow disk loses the dump
    "panic_on_warn", "panic_on_taint", "softlockup_panic", "hung_task_panic", "hardlockup_panic",
    "crash_kexec_post_notifiers", "oops",
    // CPU layouts of the running machine; the crash kernel gets its own count
    "nr_cpus", "maxcpus", "possible_cpus", "isolcpus", "nohz_full", "rcu_nocbs",
    // messages of the crash kernel are what explains a failed dump; resuming from disk would destroy it
    "quiet", "resume*"};

bool same_name(std::string_view a, std::string_view b) {
  auto normal = [](char c) { return c == '-' ? '_' : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return normal(x) == normal(y); });
}

std::string_view option_name(std::string_view option) {
  if (option.starts_with('"')) option.remove_prefix(1);
  return option.substr(0, option.find('='));
}

bool is_hostile(std::string_view option) {
  std::string_view name = option_name(option);
  // panic=0 waits for ever: a crash kernel that fails would never reboot.
  if (option == "panic=0") return true;
  return std::any_of(hostile_options.begin(), hostile_options.end(), [&](std::string_view hostile) {
    if (!hostile.ends_with('*')) return same_name(name, hostile);
    hostile.remove_suffix(1);
    return name.size() >= hostile.size() && same_name(name.substr(0, hostile.size()), hostile);
  });
}

void append_option(std::string& line, std::string_view option) {
  if (option.empty()) return;
  if (!line.empty()) line += ' ';
  line += option;
}

// Puts `option` before a "--" that ends the kernel's part of the line, else at the end.
void add_kernel_option(std::string& line, std::string_view option) {
  std::string out;
  bool placed = false;
  for (const std::string& word : split_command_line(line)) {
    if (word == "--" && !placed) {
      append_option(out, option);
      placed = true;
    }
    append_option(out, word);
  }
  if (!placed) append_option(out, option);
  line = out;
}

}  // namespace

std::vector<std::string> split_command_line(std::string_view line) {
  std::vector<std::string> options;
  std::string current;
  bool quoted = false;
  for (char c : line) {
    if (c == '"') quoted = !quoted;
    bool space = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (space && !quoted) {
      if (!current.empty()) options.push_back(std::move(current));
      current.clear();
    } else {
      current += c;
    }
  }
  if (!current.empty()) options.push_back(std::move(current));
  return options;
}

std::optional<std::string> find_option(std::string_view line, std::string_view name) {
  std::optional<std::string> found;
  for (const std::string& option : split_command_line(line)) {
    if (option == "--") break;  // what follows belongs to init
    if (!same_name(option_name(option), name)) continue;
    size_t equals = option.find('=');
    found = equals == std::string::npos ? "" : option.substr(equals + 1);
  }
  return found;
}

CommandLine make_command_line(const CommandLineOptions& options, std::string_view running,
                              std::span<const std::string_view> defaults) {
  CommandLine line;
  if (options.literal) {
    line.source = "given";
    line.text = *options.literal;
  } else {
    // What is in a unified kernel image is for its normal boot, just as the running kernel's is.
    line.source = options.unified ? "unified kernel image" : "running kernel";
    bool for_kernel = true;
    for (const std::string& option : split_command_line(options.unified ? *options.unified : running)) {
      for_kernel = for_kernel && option != "--";
      if (for_kernel && is_hostile(option)) {
        line.removed.push_back(option);
      } else {
        append_option(line.text, option);
      }
    }
  }
  for (const std::string& option : split_command_line(options.append)) add_kernel_option(line.text, option);
  if (!options.add_defaults) return line;
  for (std::string_view option : defaults) {
    if (find_option(line.text, option_name(option))) continue;
    add_kernel_option(line.text, option);
    line.added.emplace_back(option);
  }
  return line;
}

}  // namespace kdk
