#include "capture/run/place.h"

#include "capture/summary.h"

namespace kdk {

void Place::put_summary(const CaptureReport& report) {
  const std::string text = summary_json(report);
  put("summary.json", as_bytes(text));
}

std::string sums_text(const std::map<std::string, std::string, std::less<>>& sums) {
  std::string text;
  for (const auto& [name, sum] : sums) text += sum + "  " + name + "\n";
  return text;
}

std::unique_ptr<Place> make_place(const RunTarget& target, size_t index) {
  switch (target.kind) {
    case TargetKind::directory:
      return make_directory_place(target);
    case TargetKind::mount:
    case TargetKind::nfs:
      return make_mount_place(target, index);
    case TargetKind::raw:
      return make_raw_place(target);
    case TargetKind::ssh:
      return make_ssh_place(target);
    case TargetKind::http:
#ifdef KDK_HTTP
      return make_http_place(target);
#else
      throw Error(Errc::unsupported, "this kdump-capture was built without libcurl: it has no http targets")
          .with_hint("kdumpkit-mkinitramfs takes one that has, of the package kdumpkit-capture-http");
#endif
  }
  throw Error(Errc::unsupported, "no such kind of target");
}

}  // namespace kdk
