// Partitions without a file system: writing a dump there (raw_format.h), and getting it back.
#pragma once

#include <filesystem>

#include "capture/output/reassemble.h"
#include "capture/run/raw_format.h"
#include "core/base/file.h"

namespace kdk {

// Makes `device` a place for dumps. What it held is lost, so it must be blank (or such a place already)
// unless `force`. Throws Error{denied,io,...}.
void claim_raw(const std::filesystem::path& device, bool force);

struct Fetched {
  std::filesystem::path directory;   // with dmesg.txt, summary.json, vmcore, SHA256SUMS
  std::vector<std::string> reasons;  // why the dump is not whole; empty when it is
};
// Copies the dump on `device` into a new directory in `parent`, named as it is. nullopt: there is none. With
// `clear`, a dump that was copied is then forgotten on the device. Throws Error when nothing could be copied.
std::optional<Fetched> fetch_raw(const std::filesystem::path& device, const std::filesystem::path& parent,
                                 bool clear, const std::atomic<bool>& stop);

}  // namespace kdk
