// After the reboot: is there a dump with the mark of the last crash test?
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "loader/prove/crash_test.h"
#include "loader/prove/dump_places.h"

namespace kdk {
namespace {

namespace fs = std::filesystem;
using State = CrashTestOutcome::State;

// Newest directories first, no more than this: dumps pile up.
constexpr size_t most_directories = 256;
constexpr size_t most_files = 4096;
// The mark is among the last lines before the crash.
constexpr uint64_t log_tail = uint64_t{8} << 20;
constexpr uint64_t max_summary = uint64_t{16} << 20;

// Regular files of a directory, by name.
std::vector<fs::path> list_files(const fs::path& directory) {
  std::vector<fs::path> files;
  std::error_code error;
  fs::directory_iterator entries(directory, error);
  if (error) throw error_from_errno(error.value(), directory.string());
  for (const fs::directory_entry& entry : entries) {
    if (entry.is_regular_file(error) && files.size() < most_files) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

bool is_log(const std::string& name) {
  return name.find("dmesg") != std::string::npos || name.ends_with(".log");
}

// "vmcore", "vmcore.flat", "dump.202611281800": not "vmcore-dmesg.txt".
bool is_dump(const std::string& name) {
  return (name.starts_with("vmcore") || name.starts_with("dump")) && !is_log(name) &&
         !name.ends_with(".json");
}

bool is_unfinished(const std::string& name) {
  return name.ends_with(".incomplete") || name.find(".partial") != std::string::npos;
}

// The directory itself and those in it, newest first.
std::vector<fs::path> candidates(const fs::path& place) {
  std::vector<std::pair<fs::file_time_type, fs::path>> found;
  std::error_code error;
  fs::directory_iterator entries(place, error);
  if (error) throw error_from_errno(error.value(), place.string());
  for (const fs::directory_entry& entry : entries) {
    if (!entry.is_directory(error)) continue;
    fs::file_time_type time = entry.last_write_time(error);
    if (!error) found.emplace_back(time, entry.path());
  }
  std::sort(found.begin(), found.end(), std::greater<>());
  if (found.size() > most_directories) found.resize(most_directories);
  std::vector<fs::path> paths;
  for (auto& [time, path] : found) paths.push_back(std::move(path));
  paths.push_back(place);
  return paths;
}

bool holds_line(const fs::path& log, const std::string& line) {
  Fd fd = Fd::open(log, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
  uint64_t size = file_size(fd).value_or(0);
  std::vector<uint8_t> tail(std::min(size, log_tail));
  tail.resize(read_at(fd, size - tail.size(), tail, log.string()));
  return as_text(tail).find(line) != std::string_view::npos;
}

// kdump-capture's summary: schemas/capture-summary.schema.json. False: it says that the dump is not whole.
bool judge_summary(const fs::path& file, std::vector<std::string>& notes) {
  std::string text = read_text_file(file, max_summary);
  nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("status") || !json["status"].is_string()) {
    notes.push_back(file.string() + " is no summary of kdump-capture");
    return false;
  }
  std::string status = json["status"];
  if (status == "complete") return true;
  notes.push_back(fmt::format("its summary says {}", status));
  if (json.contains("reasons") && json["reasons"].is_array()) {
    constexpr size_t most_reasons = 8;
    for (const nlohmann::json& reason : json["reasons"]) {
      if (reason.is_string() && notes.size() < most_reasons) notes.push_back(reason);
    }
  }
  return false;
}

void judge_directory(const fs::path& directory, const std::vector<fs::path>& files,
                     CrashTestOutcome& outcome) {
  outcome.where = directory.string();
  bool whole = !is_unfinished(directory.filename().string());
  bool dump = false, summary = false;
  for (const fs::path& file : files) {
    std::string name = file.filename().string();
    std::error_code error;
    if (is_dump(name) && fs::file_size(file, error) > 0 && !error) {
      dump = true;
      whole = whole && !is_unfinished(name);
    } else if (name.ends_with("summary.json")) {
      summary = true;
      whole = judge_summary(file, outcome.notes) && whole;
    }
  }
  outcome.state = !dump ? State::log_only : whole ? State::arrived : State::incomplete;
  if (dump && whole && !summary)
    outcome.notes.emplace_back("there is no summary.json that says whether it is whole");
}

// True when the mark is in this place.
bool search(const fs::path& place, CrashTestOutcome& outcome) {
  std::string line = crash_test_line(outcome.test);
  for (const fs::path& directory : candidates(place)) {
    std::vector<fs::path> files = list_files(directory);
    bool marked = std::any_of(files.begin(), files.end(), [&](const fs::path& file) {
      return is_log(file.filename().string()) && holds_line(file, line);
    });
    if (!marked) continue;
    judge_directory(directory, files, outcome);
    return true;
  }
  return false;
}

}  // namespace

std::optional<CrashTestOutcome> find_crash_test(const SysRoot& root, const std::vector<std::string>& more) {
  CrashTestOutcome outcome;
  std::optional<CrashTest> test;
  try {
    test = read_crash_test(root);
  } catch (const Error& e) {
    outcome.state = State::unknown;
    outcome.notes.push_back(e.message());
    return outcome;
  }
  if (!test) return std::nullopt;
  outcome.test = *test;
  if (test->boot_id == root.read_line("/proc/sys/kernel/random/boot_id").value_or("")) return outcome;
  outcome.state = State::not_arrived;
  DumpPlaces places = find_dump_places(root);
  std::vector<std::string> all = more;
  for (const auto* list : {&test->dump_directories, &places.directories}) {
    for (const std::string& directory : *list) {
      if (std::find(all.begin(), all.end(), directory) == all.end()) all.push_back(directory);
    }
  }
  for (const std::string& directory : all) {
    try {
      if (search(root.path(directory), outcome)) return outcome;
      outcome.searched.push_back(directory);
    } catch (const Error& e) {
      outcome.notes.push_back("not searched: " + e.message());
    }
  }
  outcome.notes.insert(outcome.notes.end(), places.notes.begin(), places.notes.end());
  return outcome;
}

}  // namespace kdk
