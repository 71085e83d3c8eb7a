// Symbolic links in a fake_cpio() archive.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/support/fake_machine.h"

namespace kdk::testing {

struct FakeLink {
  std::string name, target;
};

// The files, and behind them the links, whose content is their target.
inline std::vector<uint8_t> fake_cpio_with_links(std::vector<FakeFile> files,
                                                 const std::vector<FakeLink>& links) {
  for (const FakeLink& link : links) files.push_back({link.name, link.target.size(), 0120777});
  std::vector<uint8_t> out = fake_cpio(files);
  auto at = out.begin();
  for (const FakeLink& link : links) {
    // The last two fields of its header, the name with its NUL, padded to 4 bytes, then the content.
    const std::string name = fmt::format("{:08x}00000000{}", link.name.size() + 1, link.name) + '\0';
    at = std::search(at, out.end(), name.begin(), name.end()) + static_cast<std::ptrdiff_t>(name.size());
    at += (4 - (at - out.begin()) % 4) % 4;
    at = std::copy(link.target.begin(), link.target.end(), at);
  }
  return out;
}

}  // namespace kdk::testing
