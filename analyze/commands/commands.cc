#include "analyze/commands/commands.h"

namespace kdk {

void add_dump_commands(Program& program) {
  for (auto add : {add_report, add_log, add_backtrace,
                   // tasks and modules
                   add_ps, add_locks, add_runq, add_timer, add_workqueue, add_wait, add_modules, add_symbols,
                   // devices, files, network
                   add_irq, add_dev, add_files, add_mount, add_net,
                   // memory and types
                   add_read, add_vtop, add_search, add_mem, add_dis, add_struct, add_print,
                   // the dump itself
                   add_sys, add_config, add_info, add_doctor})
    add(program);
}

}  // namespace kdk
