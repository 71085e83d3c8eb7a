// `kdump-analyze irq`, `dev`.
#include "analyze/render/devices.h"

#include "analyze/ask.h"
#include "analyze/commands/command.h"
#include "analyze/commands/commands.h"
#include "analyze/object_answers.h"

namespace kdk {

void add_irq(Program& program) {
  auto all = std::make_shared<bool>(false);
  Command command(program, "irq",
                  "Interrupts: chip, handlers, how often each CPU took them, where they may go");
  command.dump();
  command.app().add_flag("-a,--all", *all, "Lines without a handler, too");
  command.debug_info();
  command.output();
  command.run([all](const Options& options) {
    const OpenSession opened(options);
    Session& session = *opened;
    require_variables(session, true);
    InterruptListing facts{read_interrupts(session.types(), session.log()), *all};
    std::vector<Limit> limits = limits_of("/lines", facts.facts.problems);
    return finish(options, answer_of(session, std::move(facts), std::move(limits)));
  });
}

void add_dev(Program& program) {
  Command command(program, "dev", "Devices: majors of drivers, block devices and the I/O on its way to them");
  command.dump();
  command.debug_info();
  command.output();
  command.run([](const Options& options) {
    const OpenSession opened(options);
    Session& session = *opened;
    require_variables(session, true);
    Devices facts = read_devices(session.types());
    std::vector<Limit> limits = limits_of("/disks", facts.problems);
    return finish(options, answer_of(session, std::move(facts), std::move(limits)));
  });
}

}  // namespace kdk
