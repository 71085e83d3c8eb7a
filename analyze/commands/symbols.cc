// `kdump-analyze sym`.
#include <algorithm>

#include "analyze/answers.h"
#include "analyze/commands/command.h"
#include "analyze/commands/commands.h"

namespace kdk {

void add_symbols(Program& program) {
  Command command(program, "sym", "Address to symbol, and symbol to address");
  auto queries = std::make_shared<std::vector<std::string>>();
  command.one_dump();
  command.app()
      .add_option("QUERY", *queries, "0x-address, 16 hexadecimal digits, name, or name+0xoffset")
      ->required();
  command.debug_info();
  command.output();
  command.run([queries](const Options& options) -> int {
    const OpenSession opened(options);
    Session& session = *opened;
    SymbolReport answer = make_symbols(session, *queries);
    int code = finish(options, answer);
    size_t found =
        std::ranges::count_if(answer.answers, [](const SymbolAnswer& item) { return !item.matches.empty(); });
    if (found == 0) return exit_failed;
    return found < queries->size() ? exit_partial : code;
  });
}

}  // namespace kdk
