// `kdump-analyze triage`.
#include <algorithm>
#include <filesystem>
#include <thread>

#include "analyze/answers.h"
#include "analyze/commands/command.h"
#include "analyze/commands/commands.h"

namespace kdk {

void add_triage(Program& program) {
  struct Words {
    std::vector<std::filesystem::path> paths;
    unsigned jobs = std::clamp(std::thread::hardware_concurrency(), 1u, 4u);
  };
  Command command(program, "triage",
                  "Many dumps in one table: which are the same bug, how often, since when");
  auto words = std::make_shared<Words>();
  command.app()
      .add_option("PATH", words->paths, "Dumps, earlier report.json files, or directories with such")
      ->required();
  command.app()
      .add_option("-j,--jobs", words->jobs,
                  "Dumps examined at the same time; default: one per CPU, at most 4")
      ->check(CLI::Range(1u, 256u));
  command.debug_dirs();
  command.output_with_html();
  command.run([words](const Options& options) -> int {
    Collection all = make_collection(words->paths, options.session, words->jobs);
    emit(options, options.html   ? to_html(all)
                  : options.json ? to_json_text(all)
                                 : escape_untrusted(to_text(all), "\n\t"));
    for (const UnreadableFile& file : all.unreadable) log_warning("{}", file.why);
    if (all.crashes == 0) {
      log_error("no dump or saved report could be read");
      return exit_failed;
    }
    return all.unreadable.empty() ? exit_done : exit_partial;
  });
}

}  // namespace kdk
