// The configuration that the kernel was built with, where the kernel carries it (CONFIG_IKCONFIG): gzip
// between two marks in its read-only data. Source: kernel/configs.c.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/kernel/kernel.h"

namespace kdk {

struct ConfigOption {
  std::string name;   // "CONFIG_SMP"; escaped
  std::string value;  // "y", "m", "250", "\"text\""; empty: it is not set; escaped
};

struct KernelConfig {
  std::vector<ConfigOption> options;  // in the order of the file
  std::string release;                // of the kernel; escaped
  std::string why_not;                // there is none in the dump, and where to look; empty: there is one
};

// `wanted`: only options with one of these in their name, whatever its case; empty: all. Throws Error{format}
// when it is there and damaged.
KernelConfig read_kernel_config(Kernel& kernel, const std::vector<std::string>& wanted);

// The options in the text of a .config.
std::vector<ConfigOption> parse_config(std::string_view text);

}  // namespace kdk
