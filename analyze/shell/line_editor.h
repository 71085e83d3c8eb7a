// Lines from a person at a terminal, with history and completion (libedit).
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "analyze/shell/complete.h"

namespace kdk {

class LineEditor {
 public:
  // `history`: a file that is read, and extended by each line (mode 0600: lines may hold what a dump holds).
  // Nothing is said when that cannot be.
  LineEditor(const std::string& prompt, const std::filesystem::path& history,
             std::function<Completion(std::string_view)> complete);
  ~LineEditor();

  // Without its newline. nullopt: the end of input (Ctrl-D). Ctrl-C gives an empty line.
  std::optional<std::string> read();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace kdk
