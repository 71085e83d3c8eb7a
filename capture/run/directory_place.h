// A directory per dump on a mounted file system: NAME.partial while it is written, NAME when it is whole,
// NAME.incomplete when that is all there will be.
#pragma once

#include "capture/run/place.h"
#include "core/base/file.h"

namespace kdk {

class DirectoryPlace : public Place {
 public:
  // `parent`: where the dumps are, and in finish()'s answer.
  DirectoryPlace(std::filesystem::path parent, unsigned keep, uint64_t keep_bytes)
      : parent_(std::move(parent)), keep_(keep), keep_bytes_(keep_bytes) {}

  void prepare(const std::string& name) override;
  void put(std::string_view file, Bytes content) override;
  void put_summary(const CaptureReport& report) override;
  CaptureReport save(SaveOptions& options, const std::atomic<bool>& stop) override;
  std::string finish(bool whole, const std::function<void(uint64_t)>& progress) override;

 private:
  void sum_files(const std::function<void(uint64_t)>& progress);

  const std::filesystem::path parent_;
  const unsigned keep_;
  const uint64_t keep_bytes_;
  std::string name_;
  std::filesystem::path directory_;  // NAME.partial
  Fd being_written_;                 // its mark
};

}  // namespace kdk
