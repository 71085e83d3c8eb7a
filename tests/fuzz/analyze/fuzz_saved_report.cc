// A saved report as input: whatever it holds, it is refused or its text is safe to print.
#include <cstdlib>

#include "analyze/render/render.h"
#include "analyze/triage/collection.h"
#include "core/base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    std::string document(reinterpret_cast<const char*>(data), size);
    kdk::Collection all = kdk::group_crashes({kdk::read_saved_report(document, "input")}, {});
    std::string text = kdk::to_text(all) + kdk::to_html(all);
    if (kdk::to_json_text(all).empty() || text.find('\x1b') != text.npos) std::abort();
  } catch (const kdk::Error&) {
  }
  return 0;
}
