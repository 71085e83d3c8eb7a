// `kdump-analyze diff`.
#include <filesystem>

#include "analyze/answers.h"
#include "analyze/commands/command.h"
#include "analyze/commands/commands.h"
#include "analyze/render/report_diff.h"
#include "core/base/file.h"

namespace kdk {
namespace {

constexpr uint64_t max_report_bytes = uint64_t{256} << 20;

// The report on a dump, or a saved one as it stands.
std::string report_of(const std::filesystem::path& path, const SessionOptions& search) {
  if (looks_like_saved_report(path)) return read_text_file(path, max_report_bytes);
  SessionOptions options = search;
  options.dump = {path};
  Session session(options);
  return to_json_text(make_report(session));
}

}  // namespace

void add_diff(Program& program) {
  struct Words {
    std::filesystem::path a, b;
  };
  auto words = std::make_shared<Words>();
  Command command(program, "diff", "Two crashes: whether they are the same bug, and what is different");
  command.app().add_option("A", words->a, "A dump or an earlier report.json")->required()->type_name("FILE");
  command.app().add_option("B", words->b, "Another one")->required()->type_name("FILE");
  command.debug_dirs();
  command.output();
  command.run([words](const Options& options) -> int {
    const ReportDiff diff = compare_reports(report_of(words->a, options.session), words->a.string(),
                                            report_of(words->b, options.session), words->b.string());
    emit(options, options.json ? to_json_text(diff) : escape_untrusted(to_text(diff), "\n\t"));
    return exit_done;
  });
}

}  // namespace kdk
