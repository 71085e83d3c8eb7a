// Every command of kdump-analyze, in the order of --help, and the command line they add themselves to.
#pragma once

#include <functional>

#include "analyze/session.h"

namespace CLI {
class App;
}

namespace kdk {

struct Program {
  CLI::App& app;
  std::function<int()> chosen = {};  // what the command line asks for, when it has been parsed
  // Of a shell: the dump is open. Then commands have no options that say what to open; the words of DUMP are
  // still there, for the shell to fill in.
  Session* session = nullptr;
};

// The commands that ask one dump.
void add_dump_commands(Program& program);

void add_report(Program& program);
void add_log(Program& program);
void add_backtrace(Program& program);
void add_ps(Program& program);
void add_locks(Program& program);
void add_runq(Program& program);
void add_timer(Program& program);
void add_workqueue(Program& program);
void add_wait(Program& program);
void add_irq(Program& program);
void add_dev(Program& program);
void add_files(Program& program);
void add_mount(Program& program);
void add_net(Program& program);
void add_modules(Program& program);
void add_symbols(Program& program);
void add_read(Program& program);
void add_vtop(Program& program);
void add_search(Program& program);
void add_mem(Program& program);
void add_dis(Program& program);
void add_struct(Program& program);
void add_print(Program& program);
void add_sys(Program& program);
void add_config(Program& program);
void add_info(Program& program);
void add_diff(Program& program);
void add_doctor(Program& program);
void add_triage(Program& program);
void add_shell(Program& program);

}  // namespace kdk
