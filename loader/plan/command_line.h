// The crash kernel's command line.
//
// Reusing the running kernel's line is what most people want, but some of its options would make the crash
// kernel fail or starve: those are removed, and what every crash kernel should have is added. All of it is
// said in the plan.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kdk {

struct CommandLineOptions {
  std::optional<std::string>
      literal;               // --command-line: used as it is; absent: the running kernel's line is reused
  std::string append;        // put behind either
  bool add_defaults = true;  // add the crash defaults the line does not name
  // --uki-command-line: the one of the unified kernel image, reused instead of the running kernel's
  std::optional<std::string> unified = std::nullopt;
};

struct CommandLine {
  std::string text;
  std::string source;                // "given", "running kernel", "unified kernel image"
  std::vector<std::string> removed;  // options of a reused line left out
  std::vector<std::string> added;    // crash defaults put in
};

// `running` is the content of /proc/cmdline, `defaults` what every crash kernel of this architecture should
// have.
CommandLine make_command_line(const CommandLineOptions& options, std::string_view running,
                              std::span<const std::string_view> defaults);

// The options of a line, split the way the kernel does (lib/cmdline.c, next_arg): at white space outside
// double quotes.
std::vector<std::string> split_command_line(std::string_view line);

// The value of the last `name=value`; an empty string for a bare `name`; nullopt when absent. '-' and '_' in
// names are the same to the kernel (kernel/params.c, parameqn).
std::optional<std::string> find_option(std::string_view line, std::string_view name);

}  // namespace kdk
