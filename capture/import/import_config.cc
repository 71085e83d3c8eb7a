#include "capture/import/import_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <sstream>

#include "capture/import/shell_assignments.h"
#include "core/base/error.h"
#include "core/base/log.h"

namespace kdk {
namespace {

struct Setting {
  std::string key, value, place;  // place: "FILE:LINE"
};

std::vector<std::string> words(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> out;
  for (std::string word; in >> word;) out.push_back(word);
  return out;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

// One [[target]] as text lines, and where it came from.
struct Target {
  std::string kind;
  std::vector<std::pair<std::string, std::string>> keys;  // the value as TOML has it
};

class Importer {
 public:
  ImportedConfig import(const std::vector<ForeignFile>& files) {
    for (const ForeignFile& file : files) read(file);
    return write(files);
  }

 private:
  void read(const ForeignFile& file) {
    const std::vector<ShellAssignment> assignments = shell_assignments(file.text);
    // kdump.conf is "key value", the others are assignments of the shell.
    if (assignments.empty()) return kdump_conf(file);
    for (const ShellAssignment& assignment : assignments) {
      const Setting setting{assignment.name, assignment.value,
                            fmt::format("{}:{}", file.name, assignment.line)};
      if (assignment.is_plain) {
        assigned(setting);
      } else {
        note(setting, "is put together by the shell, which is not done here");
      }
    }
  }

  void note(const Setting& setting, std::string_view what) {
    notes_.push_back(
        escape_untrusted(fmt::format("{}: {} {}: {}", setting.place, setting.key, setting.value, what)));
  }

  // Other programs' levels: the same bits as ours, and as here a list of them to fall back to.
  void set_levels(const Setting& setting, std::string_view text) {
    levels_.clear();
    for (size_t at = 0; at <= text.size();) {
      const size_t comma = std::min(text.find(',', at), text.size());
      unsigned level = 0;
      const auto [end, error] = std::from_chars(text.data() + at, text.data() + comma, level);
      if (error != std::errc() || end != text.data() + comma || level > 31) {
        throw Error(Errc::format, fmt::format("{}: \"{}\" is no dump level", setting.place, text));
      }
      levels_.push_back(level);
      at = comma + 1;
    }
  }

  // makedumpfile's options.
  void collector(const Setting& setting, const std::vector<std::string>& arguments) {
    for (size_t i = 0; i < arguments.size(); ++i) {
      const std::string& argument = arguments[i];
      if (argument == "-c") {
        compress_ = "zlib";
      } else if (argument == "-l") {
        compress_ = "lzo";
      } else if (argument == "-p") {
        compress_ = "snappy";
      } else if (argument == "-z") {
        compress_ = "zstd";
      } else if (argument == "-d" && i + 1 < arguments.size()) {
        set_levels(setting, arguments[++i]);
      } else if (argument.starts_with("-d") && argument.size() > 2) {
        set_levels(setting, std::string_view(argument).substr(2));
      } else if (argument == "--message-level" && i + 1 < arguments.size()) {
        ++i;  // how much is printed
      } else if (argument == "--num-threads" && i + 1 < arguments.size()) {
        const std::string& number = arguments[++i];
        const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), threads_);
        if (error != std::errc() || end != number.data() + number.size() || threads_ > 256) {
          throw Error(Errc::format, fmt::format("{}: \"{}\" is no number of threads", setting.place, number));
        }
      } else if (argument != "-F") {  // a stream, which is made here where a target needs it
        note({setting.key, argument, setting.place}, "makedumpfile's option has no counterpart");
      }
    }
  }

  void device_target(const Setting& setting, const std::string& type) {
    targets_.push_back({"mount", {{"device", quoted(setting.value)}, {"type", quoted(type)}}});
  }

  // "host:/export"
  void nfs_target(const Setting& setting, const std::string& where, const std::string& path = {}) {
    const size_t colon = where.find(":/");
    if (colon == std::string::npos) return note(setting, "is no HOST:/EXPORT");
    std::string host = where.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    targets_.push_back({"nfs", {{"server", quoted(host)}, {"export", quoted(where.substr(colon + 1))}}});
    if (!path.empty()) targets_.back().keys.emplace_back("path", quoted(path));
  }

  void assigned(const Setting& s) {
    const auto is = [&](std::string_view key) { return s.key == key && !s.value.empty(); };
    if (s.value.empty()) return;
    if (is("KDUMP_COREDIR")) {
      path_ = s.value;
    } else if (is("MAKEDUMP_ARGS") || is("MAKEDUMPFILE_OPTIONS")) {
      collector(s, words(s.value));
    } else if (is("NFS")) {
      nfs_target(s, s.value);
    } else if (is("SSH")) {
      ssh_ = s.value;
    } else if (is("SSH_KEY") || is("KDUMP_SSH_IDENTITY")) {
      ssh_key_ = s.value;
    } else if (is("KDUMP_NUM_DUMPS") || is("KDUMP_KEEP_OLD_DUMPS")) {
      keep(s);
    } else if (is("KDUMP_FAIL_CMD")) {
      if (words(s.value).front() == "reboot") {
        failure_ = "reboot";
      } else {
        note(s, "set [run] failure_action: reboot, poweroff or halt");
      }
    } else if (is("USE_KDUMP")) {
      if (s.value == "0")
        note(s, "it was switched off: systemctl disable kdumpkit-arm.service kdumpkit-arm.path");
    } else if (is("KDUMP_COMMANDLINE_APPEND") || is("KDUMP_CMDLINE_APPEND")) {
      load(s, "append");
    } else if (is("KDUMP_COMMANDLINE") || is("KDUMP_CMDLINE")) {
      load(s, "command_line");
    } else if (is("KDUMP_SAVEDIR")) {
      for (const std::string& url : words(s.value)) save_directory(s, url);
    } else if (is("KDUMP_DUMPLEVEL")) {
      set_levels(s, s.value);
    } else if (is("KDUMP_DUMPFORMAT")) {
      dump_format(s);
    } else if (is("KDUMP_IMMEDIATE_REBOOT")) {
      if (s.value != "yes" && s.value != "true" && s.value != "1") note(s, "set [run] final_action");
    } else {
      note(s, "is not imported");
    }
  }

  // Of the crash kernel's command line: what kdump-load reads.
  void load(const Setting& setting, std::string_view key) {
    const auto control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
    if (std::ranges::any_of(setting.value, control)) return note(setting, "has a control character");
    load_.insert_or_assign(std::string(key), setting.value);
  }

  void keep(const Setting& setting) {
    int number = 0;
    const auto [end, error] =
        std::from_chars(setting.value.data(), setting.value.data() + setting.value.size(), number);
    if (error != std::errc() || end != setting.value.data() + setting.value.size() || number > 100000) {
      throw Error(Errc::format,
                  fmt::format("{}: \"{}\" is no number of dumps", setting.place, setting.value));
    }
    if (number > 0) keep_ = number;  // 0, and SUSE's -1 and -2, mean other things
    if (number < 0) note(setting, "is not imported: all dumps are kept");
  }

  // SUSE's names of makedumpfile's options.
  void dump_format(const Setting& setting) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 5> formats = {
        {{"compressed", "zlib"}, {"lzo", "lzo"}, {"snappy", "snappy"}, {"zstd", "zstd"}, {"none", "none"}}};
    for (const auto& [name, codec] : formats) {
      if (setting.value == name) compress_ = codec;
    }
    if (compress_.empty()) note(setting, "the default is used");
  }

  // SUSE: a directory, file://, nfs://, ssh:// or others.
  void save_directory(const Setting& setting, std::string_view url) {
    const auto take = [&url](std::string_view prefix) {
      if (!url.starts_with(prefix)) return false;
      url.remove_prefix(prefix.size());
      return true;
    };
    const auto host_and_path = [&]() -> std::pair<std::string, std::string> {
      const size_t slash = std::min(url.find('/'), url.size());
      return {std::string(url.substr(0, slash)), std::string(url.substr(slash))};
    };
    if (take("file://") || url.starts_with('/')) {
      targets_.push_back({"directory", {{"path", quoted(url)}}});
    } else if (take("nfs://")) {
      const auto [host, path] = host_and_path();
      nfs_target(setting, host + ":" + path);
    } else if (take("ssh://") || take("sftp://")) {
      const auto [host, path] = host_and_path();
      targets_.push_back({"ssh", {{"server", quoted(host)}, {"path", quoted(path)}}});
    } else {
      note({setting.key, std::string(url), setting.place}, "a target of this kind does not exist here");
    }
  }

  void kdump_conf(const ForeignFile& file) {
    std::istringstream lines(file.text);
    unsigned number = 0;
    for (std::string line; std::getline(lines, line);) {
      ++number;
      const size_t start = line.find_first_not_of(" \t");
      if (start == std::string::npos || line[start] == '#') continue;
      const size_t end = std::min(line.find_first_of(" \t", start), line.size());
      const size_t value = std::min(line.find_first_not_of(" \t", end), line.size());
      std::string text = line.substr(value);
      text.resize(text.find_last_not_of(" \t\r") + 1);
      conf_line({line.substr(start, end - start), text, fmt::format("{}:{}", file.name, number)});
    }
  }

  void conf_line(const Setting& s) {
    constexpr std::array<std::string_view, 7> file_systems = {"ext2",  "ext3",  "ext4",    "xfs",
                                                              "btrfs", "minix", "virtiofs"};
    if (s.value.empty()) return note(s, "has no value");
    if (s.key == "path") {
      path_ = s.value;
    } else if (std::ranges::find(file_systems, s.key) != file_systems.end()) {
      if (s.key == "virtiofs") return note(s, "a target of this kind does not exist here");
      device_target(s, s.key);
    } else if (s.key == "raw") {
      targets_.push_back({"raw", {{"device", quoted(s.value)}}});
      note(s, "prepare the partition once: kdump-capture claim");
    } else if (s.key == "nfs") {
      nfs_target(s, s.value);
    } else if (s.key == "ssh") {
      ssh_ = s.value;
    } else if (s.key == "sshkey") {
      ssh_key_ = s.value;
    } else if (s.key == "core_collector") {
      const std::vector<std::string> arguments = words(s.value);
      if (arguments.front() != "makedumpfile") return note(s, "only makedumpfile's options are understood");
      collector(s, {arguments.begin() + 1, arguments.end()});
    } else if (s.key == "failure_action" || s.key == "default") {
      action(s, failure_);
    } else if (s.key == "final_action") {
      action(s, final_);
    } else {
      note(s, "is not imported");
    }
  }

  void action(const Setting& setting, std::string& out) {
    if (setting.value == "reboot" || setting.value == "halt" || setting.value == "poweroff" ||
        setting.value == "shell") {
      out = setting.value;
    } else if (setting.value == "dump_to_rootfs") {
      rootfs_too_ = true;
    } else {
      note(setting, "is not imported");
    }
  }

  ImportedConfig write(const std::vector<ForeignFile>& files) {
    finish_targets();
    std::string from;
    for (const ForeignFile& file : files) from += " " + escape_untrusted(file.name);
    std::string out = "# Made by kdump-capture import-config of" + from + ".\n";
    for (const std::string& text : notes_) out += "# Not here: " + text + "\n";
    if (!load_.empty()) out += "\n[load]\n";
    for (const auto& [key, value] : load_) out += fmt::format("{} = {}\n", key, quoted(value));
    out += "\n[capture]\n";
    if (!levels_.empty()) out += fmt::format("level = [{}]\n", fmt::join(levels_, ", "));
    if (!compress_.empty()) out += fmt::format("compress = \"{}\"\n", compress_);
    if (threads_ != 0) out += fmt::format("threads = {}\n", threads_);
    out += "\n[run]\n";
    if (!final_.empty()) out += fmt::format("final_action = \"{}\"\n", final_);
    if (!failure_.empty()) out += fmt::format("failure_action = \"{}\"\n", failure_);
    for (const Target& target : targets_) {
      out += fmt::format("\n[[target]]\nkind = \"{}\"\n", target.kind);
      for (const auto& [key, value] : target.keys) out += fmt::format("{} = {}\n", key, value);
    }
    return {out, notes_};
  }

  // `path` stands beside the target it is for.
  void finish_targets() {
    const std::string path = path_.empty() ? "/var/crash" : path_;
    if (!ssh_.empty()) targets_.push_back({"ssh", {{"server", quoted(ssh_)}, {"path", quoted(path)}}});
    for (Target& target : targets_) {
      if (target.kind != "ssh" || ssh_key_.empty()) continue;
      target.keys.emplace_back("command",
                               fmt::format(R"(["ssh", "-i", {}, "-o", "BatchMode=yes"])", quoted(ssh_key_)));
    }
    const size_t first = path.find_first_not_of('/');
    for (Target& target : targets_) {
      const bool has_path =
          std::ranges::any_of(target.keys, [](const auto& key) { return key.first == "path"; });
      if ((target.kind == "mount" || target.kind == "nfs") && !has_path && first != std::string::npos) {
        target.keys.emplace_back("path", quoted(path.substr(first)));
      }
    }
    if (targets_.empty() || rootfs_too_) {
      targets_.push_back(
          {"directory", {{"path", quoted(targets_.empty() ? path : std::string("/var/crash"))}}});
    }
    for (Target& target : targets_) {
      if (keep_ > 0 && target.kind != "raw" && target.kind != "ssh")
        target.keys.emplace_back("keep", std::to_string(keep_));
    }
  }

  std::vector<std::string> notes_;
  std::vector<Target> targets_;
  std::map<std::string, std::string> load_;
  std::string path_, ssh_, ssh_key_, compress_, final_, failure_;
  std::vector<unsigned> levels_;
  unsigned threads_ = 0;
  int keep_ = 0;
  bool rootfs_too_ = false;
};

}  // namespace

ImportedConfig import_config(const std::vector<ForeignFile>& files) {
  return Importer().import(files);
}

}  // namespace kdk
