// `kdump-analyze doctor`.
#include "analyze/render/doctor.h"
#include "analyze/commands/command.h"
#include "analyze/commands/commands.h"
#include "analyze/examine_evidence.h"

namespace kdk {

void add_doctor(Program& program) {
  Command command(program, "doctor",
                  "What evidence there is, and which file or package would give better answers");
  command.dump();
  command.debug_info();
  command.output();
  command.run([](const Options& options) -> int {
    const OpenSession opened(options);
    Session& session = *opened;
    return finish(options, make_doctor(session), true);
  });
}

}  // namespace kdk
