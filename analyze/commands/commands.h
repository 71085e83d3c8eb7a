// Every command of kdump-analyze, in the order of --help. Each adds itself to the command line and sets
// `chosen` when it is the one that was asked for.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace kdk {

void add_report(CLI::App& program, std::function<int()>& chosen);
void add_log(CLI::App& program, std::function<int()>& chosen);
void add_backtrace(CLI::App& program, std::function<int()>& chosen);
void add_ps(CLI::App& program, std::function<int()>& chosen);
void add_locks(CLI::App& program, std::function<int()>& chosen);
void add_runq(CLI::App& program, std::function<int()>& chosen);
void add_timer(CLI::App& program, std::function<int()>& chosen);
void add_workqueue(CLI::App& program, std::function<int()>& chosen);
void add_wait(CLI::App& program, std::function<int()>& chosen);
void add_irq(CLI::App& program, std::function<int()>& chosen);
void add_dev(CLI::App& program, std::function<int()>& chosen);
void add_files(CLI::App& program, std::function<int()>& chosen);
void add_mount(CLI::App& program, std::function<int()>& chosen);
void add_net(CLI::App& program, std::function<int()>& chosen);
void add_modules(CLI::App& program, std::function<int()>& chosen);
void add_symbols(CLI::App& program, std::function<int()>& chosen);
void add_read(CLI::App& program, std::function<int()>& chosen);
void add_vtop(CLI::App& program, std::function<int()>& chosen);
void add_search(CLI::App& program, std::function<int()>& chosen);
void add_mem(CLI::App& program, std::function<int()>& chosen);
void add_dis(CLI::App& program, std::function<int()>& chosen);
void add_struct(CLI::App& program, std::function<int()>& chosen);
void add_print(CLI::App& program, std::function<int()>& chosen);
void add_sys(CLI::App& program, std::function<int()>& chosen);
void add_config(CLI::App& program, std::function<int()>& chosen);
void add_info(CLI::App& program, std::function<int()>& chosen);
void add_diff(CLI::App& program, std::function<int()>& chosen);
void add_doctor(CLI::App& program, std::function<int()>& chosen);
void add_triage(CLI::App& program, std::function<int()>& chosen);

}  // namespace kdk
