// A place where a dump goes: one [[target]] made ready. Small files are put as a whole, the dump is written
// by save_dump() or comes as a stream. What finish() has not been called for never looks like a whole dump.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "capture/run/run_config.h"
#include "capture/save.h"

namespace kdk {

class Place {
 public:
  virtual ~Place() = default;
  // Mounts, connects and makes room for a dump called `name`. Throws Error.
  virtual void prepare(const std::string& name) = 0;
  // Puts a whole file, in place of an older one of that name. Throws Error.
  virtual void put(std::string_view file, Bytes content) = 0;
  // As put("summary.json"); places that can do better do.
  virtual void put_summary(const CaptureReport& report);
  // Runs save_dump() so that the dump ends up here. `options` lacks only where to.
  virtual CaptureReport save(SaveOptions& options, const std::atomic<bool>& stop) = 0;
  // After save(): writes SHA256SUMS, waits for the medium and gives things their names. `whole`: the dump is
  // all there. `progress` is called with growing numbers. Returns where it is. Throws Error.
  virtual std::string finish(bool whole, const std::function<void(uint64_t)>& progress) = 0;
  // After save(): false when nothing of the dump got here.
  virtual bool took_data() const { return true; }
  // What could not be done but changes nothing (an old dump that could not be deleted); sentences.
  std::vector<std::string> notes;
};

// `index` is the target's in the configuration. Does nothing yet.
std::unique_ptr<Place> make_place(const RunTarget& target, size_t index);

std::unique_ptr<Place> make_directory_place(const RunTarget& target);
std::unique_ptr<Place> make_mount_place(const RunTarget& target, size_t index);
std::unique_ptr<Place> make_raw_place(const RunTarget& target);
std::unique_ptr<Place> make_ssh_place(const RunTarget& target);
std::unique_ptr<Place> make_http_place(const RunTarget& target);

// Sums of files by name, as sha256sum prints them.
std::string sums_text(const std::map<std::string, std::string, std::less<>>& sums);

}  // namespace kdk
