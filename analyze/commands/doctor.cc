// `kdump-analyze doctor`.
#include "analyze/render/doctor.h"
#include "analyze/commands/command.h"
#include "analyze/commands/commands.h"
#include "analyze/examine_evidence.h"

namespace kdk {

void add_doctor(CLI::App& program, std::function<int()>& chosen) {
  Command command(program, chosen, "doctor",
                  "What evidence there is, and which file or package would give better answers");
  command.dump();
  command.debug_info();
  command.output();
  command.run([](const Options& options) -> int {
    Session session(options.session);
    return finish(options, make_doctor(session), true);
  });
}

}  // namespace kdk
