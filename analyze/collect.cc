// `kdump-analyze triage`: many dumps at once. Each is opened, examined and let go by itself, so that memory
// grows with the threads and not with the dumps.
#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

#include "analyze/answers.h"
#include "core/base/file.h"
#include "core/base/log.h"

namespace kdk {
namespace {

constexpr uint64_t max_report_bytes = uint64_t{256} << 20;

CrashBrief examine(const std::filesystem::path& path, const SessionOptions& search) {
  if (looks_like_saved_report(path))
    return read_saved_report(read_text_file(path, max_report_bytes), path.string());
  SessionOptions options = search;
  options.dump = {path};
  Session session(options);
  return brief_of(make_report(session));
}

}  // namespace

Collection make_collection(const std::vector<std::filesystem::path>& paths, const SessionOptions& search,
                           unsigned threads) {
  std::vector<UnreadableFile> unreadable;
  std::vector<std::filesystem::path> files = find_crashes(paths, unreadable);
  std::vector<std::optional<CrashBrief>> briefs(files.size());  // in the order found, whoever is done first
  std::vector<std::string> why(files.size());
  std::atomic<size_t> next = 0;
  auto work = [&] {
    for (size_t i; (i = next++) < files.size();) {
      try {
        briefs[i] = examine(files[i], search);
      } catch (const Error& error) {
        why[i] = escape_untrusted(error.message());
      } catch (const std::bad_alloc&) {
        why[i] = escape_untrusted(files[i].string()) + ": out of memory";
      }
    }
  };
  {
    std::vector<std::jthread> pool;
    for (size_t i = 1; i < std::min<size_t>(threads, files.size()); ++i) pool.emplace_back(work);
    work();
  }
  std::vector<CrashBrief> crashes;
  for (size_t i = 0; i < files.size(); ++i) {
    if (briefs[i]) {
      crashes.push_back(std::move(*briefs[i]));
    } else {
      unreadable.push_back({escape_untrusted(files[i].string()), why[i]});
    }
  }
  return group_crashes(std::move(crashes), std::move(unreadable));
}

}  // namespace kdk
