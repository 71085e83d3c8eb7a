// `kdump-analyze log`.
#include "analyze/render/log.h"
#include <algorithm>

#include "analyze/answers.h"
#include "analyze/commands/command.h"
#include "analyze/commands/commands.h"

namespace kdk {

void add_log(Program& program) {
  struct Words {
    std::string level;
    std::vector<std::string> callers;
    bool show_callers = false, wall = false;
  };
  auto words = std::make_shared<Words>();
  Command command(program, "log", "The kernel log");
  CLI::App& app = command.app();
  command.dump();
  app.add_option("--level", words->level, "Only this level and more severe ones: err, warn, ..., or 0 to 7")
      ->type_name("LEVEL")
      ->check([](const std::string& word) {
        return log_level(word) ? std::string()
                               : "not a level: emerg alert crit err warn notice info debug, or 0 to 7";
      });
  app.add_option("--caller", words->callers,
                 "Only what this thread (T123, or 123) or CPU (C0) logged; may be repeated")
      ->type_name("CALLER")
      ->allow_extra_args(false)
      ->check([](const std::string& word) {
        return log_caller(word) ? std::string() : "not T and a thread's pid, or C and a CPU";
      });
  app.add_flag("--callers", words->show_callers, "Show which thread or CPU logged each line");
  app.add_flag("--wall", words->wall,
               "Wall-clock times (UTC), good to a second, instead of those since boot");
  command.output();
  command.run([words](const Options& options) -> int {
    const OpenSession opened(options);
    Session& session = *opened;
    ShownLog shown{make_log(session), {}, {}, {}};
    KernelLog& log = shown.report.log;
    const bool readable = !log.records.empty();
    shown.view.level = words->level.empty() ? std::nullopt : log_level(words->level);
    for (const std::string& word : words->callers) shown.view.callers.push_back(*log_caller(word));
    shown.view.show_callers = words->show_callers;
    if (words->wall) {
      shown.boot_ns = boot_time_ns(log, system_from_dump(session.dump()).crash_time);
      if (!shown.boot_ns) log_warning("the dump does not tell when the crash was: times are since boot");
    }
    const bool recorded = std::any_of(log.records.begin(), log.records.end(),
                                      [](const LogRecord& record) { return record.caller_id != 0; });
    if (readable && !recorded && (words->show_callers || !words->callers.empty()))
      log_warning("this kernel did not record who logged (CONFIG_PRINTK_CALLER=n)");
    select_records(log, shown.view);
    shown.limits = shown.report.limits;
    int code = finish(options, shown);
    if (readable) return code;
    log_error("no log record could be read");
    return exit_failed;
  });
}

}  // namespace kdk
