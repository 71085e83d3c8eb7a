// Renderings of files and mounts: files, mount.
#pragma once

#include <string>

#include "analyze/inspect/mounts.h"
#include "analyze/inspect/open_files.h"
#include "analyze/triage/report.h"

namespace kdk {

struct FileAnswer {
  FileListing facts;
  Redaction redaction;
};
std::string to_text(const Answer<FileAnswer>& answer);
std::string to_json_text(const Answer<FileAnswer>& answer);

struct MountAnswer {
  Mounts facts;
  Redaction redaction;
};
std::string to_text(const Answer<MountAnswer>& answer);
std::string to_json_text(const Answer<MountAnswer>& answer);

}  // namespace kdk
