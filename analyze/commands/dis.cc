// `kdump-analyze dis`.
#include "analyze/ask.h"
#include "analyze/commands/address_argument.h"
#include "analyze/commands/command.h"
#include "analyze/commands/commands.h"
#include "analyze/inspect/disassembly.h"
#include "analyze/render/disassembly.h"

namespace kdk {

void add_dis(Program& program) {
  struct Words {
    std::string address;
    uint64_t count = 0;
    bool lines = false, up_to = false;
  };
  Command command(program, "dis", "Code of a function or range, as it was in memory");
  auto words = std::make_shared<Words>();
  command.one_dump();
  command.app()
      .add_option("ADDRESS", words->address, "A function, an address in one, or an expression as of print")
      ->required();
  command.app()
      .add_option("-n,--count", words->count, "So many instructions from the address on")
      ->check(CLI::Range(uint64_t{1}, uint64_t{100'000}));
  command.app()
      .add_flag("-r,--reverse", words->up_to, "The function from its start to the address")
      ->excludes("--count");
  command.app().add_flag("-l,--lines", words->lines, "Source lines and inlined functions, from the vmlinux");
  command.debug_info();
  command.output();
  command.run([words](const Options& options) -> int {
    const OpenSession opened(options);
    Session& session = *opened;
    Kernel& kernel = require_kernel(session);
    const SourceLookup sources = session.sources();
    DisassemblyRequest request;
    request.query = escape_untrusted(words->address);
    request.address = require_address(session, words->address);
    if (words->count != 0) request.count = words->count;
    request.up_to = words->up_to;
    request.lines = words->lines;
    const PositionLookup position = [&](uint64_t address) -> std::optional<CodePosition> {
      const auto hit = kernel.symbols().lookup(address);
      auto found = sources.at(address, hit && !hit->symbol.module.empty());
      if (!found) return std::nullopt;
      CodePosition out{escape_untrusted(found->file), found->line, std::move(found->inlines)};
      for (InlineFrame& inlined : out.inlines) {
        inlined.function = escape_untrusted(inlined.function);
        inlined.file = escape_untrusted(inlined.file);
      }
      return out;
    };
    Disassembly answer = disassemble(kernel, std::move(request), position);
    std::vector<Limit> limits;
    if (!answer.end.empty())
      limits.push_back({"/instructions", "page_absent", escape_untrusted(answer.end), "", false});
    const bool nothing = answer.instructions.empty();
    const int code = finish(options, answer_of(session, std::move(answer), std::move(limits)));
    return nothing ? exit_failed : code;
  });
}

}  // namespace kdk
