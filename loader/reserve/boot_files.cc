#include "loader/reserve/boot_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>

namespace kdk {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t max_boot_file = 1 << 20;
constexpr std::string_view option_name = "crashkernel=";
constexpr std::array<std::string_view, 3> boot_directories = {"/boot", "/efi", "/boot/efi"};
constexpr std::string_view grub_defaults = "/etc/default/grub";
constexpr std::string_view grub_drop_ins = "/etc/default/grub.d";
// Read last; the name sorts behind the distribution's.
constexpr std::string_view our_drop_in = "/etc/default/grub.d/zz-kdumpkit.cfg";
constexpr std::string_view kernel_install_line = "/etc/kernel/cmdline";
constexpr std::string_view u_boot_defaults = "/etc/default/u-boot";
constexpr std::string_view u_boot_drop_ins = "/etc/u-boot-menu/conf.d";

bool is_space(char c) {
  return c == ' ' || c == '\t';
}

// Each line, with its line break, by `edit`.
std::string edit_lines(std::string_view text, const std::function<std::string(std::string_view)>& edit) {
  std::string out;
  while (!text.empty()) {
    size_t length = std::min(text.find('\n'), text.size());
    out += edit(text.substr(0, length));
    text.remove_prefix(length);
    if (!text.empty()) out += '\n';
    text.remove_prefix(text.empty() ? 0 : 1);
  }
  return out;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && (is_space(text.back()) || text.back() == '\r')) text.remove_suffix(1);
  return text;
}

bool is_comment(std::string_view line) {
  return trimmed(line).starts_with('#');
}

// The first word of a line, in lower case.
std::string key_of(std::string_view line) {
  std::string_view rest = trimmed(line);
  std::string key(rest.substr(0, std::min(rest.find(' '), rest.find('\t'))));
  std::transform(key.begin(), key.end(), key.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
  return key;
}

// Whether a shell file has a VARIABLE=... line.
bool sets(std::string_view text, std::string_view variable) {
  bool found = false;
  edit_lines(text, [&](std::string_view line) {
    found = found || trimmed(line).starts_with(std::string(variable) + "=");
    return std::string();
  });
  return found;
}

// With `options` behind the other words; white space at the end goes.
std::string with_options(std::string_view line, const std::string& options) {
  std::string out = without_crashkernel(line);
  while (!out.empty() && (is_space(out.back()) || out.back() == '\r')) out.pop_back();
  return out + (out.empty() ? "" : " ") + options;
}

// `VARIABLE="words"`, as shells read it: the options go in front of the closing quote.
std::string with_options_in_quotes(std::string_view line, const std::string& options) {
  std::string out = without_crashkernel(line);
  size_t equals = out.find('=');
  std::string_view value = trimmed(std::string_view(out).substr(equals + 1));
  char quote = value.empty() ? '\0' : value.front();
  if (quote != '"' && quote != '\'') {
    std::string name = out.substr(0, equals);
    return fmt::format("{}=\"{}{}{}\"", name, value, value.empty() ? "" : " ", options);
  }
  size_t open = out.find(quote, equals);
  size_t close = out.find(quote, open + 1);
  if (close == std::string::npos) throw Error(Errc::format, "a quote is not closed in: " + out);
  bool empty = trimmed(std::string_view(out).substr(open + 1, close - open - 1)).empty();
  out.insert(close, (empty ? "" : " ") + options);
  return out;
}

std::vector<std::string> files_in(const SysRoot& root, std::string_view directory, std::string_view ending) {
  std::vector<std::string> names;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(root.path(directory), error)) {
    std::string name = entry.path().filename().string();
    if (name.ends_with(ending)) names.push_back(fmt::format("{}/{}", directory, name));
  }
  if (error && error != std::errc::no_such_file_or_directory)
    throw error_from_errno(error.value(), root.path(directory).string());
  std::sort(names.begin(), names.end());
  return names;
}

// Boot Loader Specification entries, wherever the boot partition is mounted.
std::vector<std::string> boot_entries(const SysRoot& root) {
  std::vector<std::string> entries;
  for (std::string_view boot : boot_directories) {
    std::vector<std::string> here = files_in(root, fmt::format("{}/loader/entries", boot), ".conf");
    entries.insert(entries.end(), here.begin(), here.end());
  }
  return entries;
}

class Editor {
 public:
  Editor(const SysRoot& root, std::string options) : root_(root), options_(std::move(options)) {}

  BootFiles run() {
    edit_entries();
    edit_grub();
    edit_extlinux();
    note_grub_environment();
    note_unified_images();
    if (result_.found.empty()) {
      throw Error(Errc::missing,
                  "no boot loader's files found (GRUB, Boot Loader Specification entries, extlinux)")
          .with_hint("put " + options_ + " on the kernel's command line where your boot loader has it");
    }
    return std::move(result_);
  }

 private:
  std::optional<std::string> content(const std::string& path) const {
    if (!root_.exists(path)) return std::nullopt;
    return read_text_file(root_.path(path), max_boot_file);
  }

  void change(const std::string& path, std::optional<std::string> before, std::string after) {
    // Entries and extlinux may share kernel-install's line.
    auto same = [&](const FileEdit& edit) { return edit.path == path && edit.after == after; };
    bool done = std::any_of(result_.edits.begin(), result_.edits.end(), same);
    if (before != after && !done) result_.edits.push_back({path, std::move(before), std::move(after)});
  }

  // A shell file with VARIABLE="words" lines: `variable` gets the options. `unset` goes before them where the
  // file does not set the variable. Without `variable` they are only removed.
  void edit_shell_file(const std::string& path, std::string_view variable, std::string_view unset = "") {
    std::optional<std::string> before = content(path);
    if (!before) return;
    bool added = false;
    std::string after = edit_lines(*before, [&](std::string_view line) -> std::string {
      if (is_comment(line)) return std::string(line);
      if (variable.empty() || added || !sets(line, variable)) {
        return without_crashkernel(line);
      }
      added = true;
      return with_context(path, [&] { return with_options_in_quotes(line, options_); });
    });
    if (!variable.empty() && !added) {
      if (!after.empty() && !after.ends_with('\n')) after += '\n';
      after += fmt::format("{}=\"{}{}\"\n", variable, unset, options_);
    }
    change(path, std::move(before), std::move(after));
  }

  void edit_entries() {
    std::vector<std::string> entries = boot_entries(root_);
    if (entries.empty()) return;
    for (const std::string& path : entries) edit_entry(path);
    result_.found.emplace_back("Boot Loader Specification entries");
    edit_kernel_install_line();
  }

  // What kernel-install gives the entries of kernels to come: all lines of the file are one command line, and
  // the vendor's counts while there is none in /etc. Without either it takes the running kernel's.
  void edit_kernel_install_line() {
    std::string path(kernel_install_line);
    std::optional<std::string> before = content(path);
    std::optional<std::string> line = before ? before : content("/usr/lib/kernel/cmdline");
    if (!line) return;
    std::replace(line->begin(), line->end(), '\n', ' ');
    change(path, std::move(before), with_options(trimmed(*line), options_) + "\n");
  }

  // "options WORDS" may come several times; they are joined. Entries of other systems (efi, no linux) stay.
  void edit_entry(const std::string& path) {
    std::string before = *content(path);
    size_t last = std::string::npos;
    size_t number = 0;
    bool linux = false;
    edit_lines(before, [&](std::string_view line) {
      if (key_of(line) == "options") last = number;
      linux = linux || key_of(line) == "linux";
      ++number;
      return std::string();
    });
    if (!linux) return;
    number = 0;
    std::string after = edit_lines(before, [&](std::string_view line) -> std::string {
      bool is_last = number++ == last;
      if (key_of(line) != "options") return std::string(line);
      return is_last ? with_options(line, options_) : without_crashkernel(line);
    });
    if (last == std::string::npos) {
      if (!after.ends_with('\n')) after += '\n';
      after += "options " + options_ + "\n";
    }
    change(path, std::move(before), std::move(after));
  }

  void edit_grub() {
    std::string defaults(grub_defaults);
    if (!root_.exists(defaults)) return;
    result_.found.emplace_back("GRUB");
    // Debian and its family read a directory beside the file; others would not.
    if (root_.exists(grub_drop_ins)) {
      edit_shell_file(defaults, "");
      for (const std::string& path : files_in(root_, grub_drop_ins, ".cfg")) {
        if (path != our_drop_in) edit_shell_file(path, "");
      }
      change(std::string(our_drop_in), content(std::string(our_drop_in)),
             fmt::format("# By kdump-load reserve --apply; kdump-load reserve --undo takes it back.\n"
                         "GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT {}\"\n",
                         options_));
    } else {
      edit_shell_file(defaults, "GRUB_CMDLINE_LINUX");
    }
  }

  void edit_extlinux() {
    bool any = false;
    for (std::string path :
         {"/boot/extlinux/extlinux.conf", "/extlinux/extlinux.conf", "/boot/syslinux/syslinux.cfg"}) {
      std::optional<std::string> before = content(path);
      if (!before) continue;
      any = true;
      bool appended = false;
      std::string after = edit_lines(*before, [&](std::string_view line) -> std::string {
        if (key_of(line) != "append") return std::string(line);
        appended = true;
        return with_options(line, options_);
      });
      if (!appended) {
        result_.notes.push_back(path + " has no \"append\" line: give its labels one with " + options_);
      }
      change(path, std::move(before), std::move(after));
    }
    if (!any) return;
    result_.found.emplace_back("extlinux");
    edit_u_boot_menu();
  }

  // u-boot-update makes extlinux.conf anew on every kernel's installation: from U_BOOT_PARAMETERS of these
  // files, the last one that sets it; when none does, from kernel-install's line, else from "ro quiet".
  void edit_u_boot_menu() {
    if (!root_.exists(u_boot_defaults)) return;
    constexpr std::string_view variable = "U_BOOT_PARAMETERS";
    std::vector<std::string> paths = {std::string(u_boot_defaults)};
    for (std::string& path : files_in(root_, u_boot_drop_ins, ".conf")) paths.push_back(std::move(path));
    auto setter = std::find_if(paths.rbegin(), paths.rend(),
                               [&](const std::string& path) { return sets(*content(path), variable); });
    bool from_line = setter == paths.rend() && root_.exists(kernel_install_line);
    const std::string& target = setter == paths.rend() ? paths[0] : *setter;
    for (const std::string& path : paths) {
      edit_shell_file(path, !from_line && path == target ? variable : "", "ro quiet ");
    }
    if (from_line) edit_kernel_install_line();
  }

  // Variables of GRUB's environment block come into entries as $kernelopts; a plain crashkernel= in one would
  // go before ours with ,high.
  void note_grub_environment() {
    for (std::string path : {"/boot/grub2/grubenv", "/boot/grub/grubenv"}) {
      if (content(path).value_or("").find(option_name) == std::string::npos) continue;
      result_.notes.push_back(path + " has a crashkernel= too: see grub2-editenv list, and set it without");
    }
  }

  void note_unified_images() {
    for (std::string_view boot : boot_directories) {
      for (const std::string& path : files_in(root_, fmt::format("{}/EFI/Linux", boot), ".efi")) {
        result_.notes.push_back(path +
                                " holds its command line itself: build it again with the changed "
                                "/etc/kernel/cmdline, or add a signed addon");
      }
    }
  }

  const SysRoot& root_;
  std::string options_;
  BootFiles result_;
};

}  // namespace

std::string without_crashkernel(std::string_view line) {
  std::string out(line);
  for (size_t at = 0; (at = out.find(option_name, at)) != std::string::npos;) {
    bool word_starts =
        at == 0 || is_space(out[at - 1]) || out[at - 1] == '"' || out[at - 1] == '\'' || out[at - 1] == '=';
    if (!word_starts) {
      at += option_name.size();
      continue;
    }
    size_t end = std::min(out.find_first_of(" \t\"'\r", at), out.size());
    // One of the spaces around it goes with it.
    if (at > 0 && is_space(out[at - 1])) {
      --at;
    } else if (end < out.size() && is_space(out[end])) {
      ++end;
    }
    out.erase(at, end - at);
  }
  return out;
}

std::vector<std::string> boot_commands(const SysRoot& root) {
  // With entries of its own GRUB reads those at boot.
  if (!root.exists(grub_defaults) || !boot_entries(root).empty()) return {};
  if (root.exists("/usr/sbin/update-grub")) return {"update-grub"};
  if (root.exists("/usr/sbin/grub2-mkconfig")) return {"grub2-mkconfig -o /boot/grub2/grub.cfg"};
  return {"grub-mkconfig -o /boot/grub/grub.cfg"};
}

BootFiles edit_boot_files(const SysRoot& root, const std::string& options) {
  if (root.exists("/run/ostree-booted")) {
    throw Error(Errc::unsupported, "this system's boot entries are made by ostree, not edited")
        .with_hint("rpm-ostree kargs --delete-if-present=crashkernel --append=" + options);
  }
  return Editor(root, options).run();
}

}  // namespace kdk
