// `kdump-analyze read` and `vtop`.
#include "analyze/render/addresses.h"
#include "analyze/ask.h"
#include "analyze/commands/address_argument.h"
#include "analyze/commands/command.h"
#include "analyze/commands/commands.h"

namespace kdk {
namespace {

// Bytes that are not there: named in the answer itself, and said again as a limit.
std::vector<Limit> holes(const MemoryView& view) {
  std::vector<Limit> limits;
  for (size_t i = 0; i < view.pieces.size() && limits.size() < 16; ++i) {
    const MemoryView::Piece& piece = view.pieces[i];
    if (!piece.bytes.empty()) continue;
    const bool damage = piece.memory == KDUMPKIT_MEMORY_UNREADABLE;
    limits.push_back({fmt::format("/pieces/{}", i), damage ? "page_unreadable" : "page_absent",
                      fmt::format("{:#018x}, {} bytes: {}", piece.address, piece.size, piece.why_not),
                      piece.memory == KDUMPKIT_MEMORY_EXCLUDED ? "a dump of a lower level" : "", damage});
  }
  return limits;
}

}  // namespace

void add_read(Program& program) {
  struct Words {
    std::string address;
    MemoryRequest request;
  };
  Command command(program, "read", "Memory as numbers, pointers or text");
  auto words = std::make_shared<Words>();
  command.one_dump();
  command.app()
      .add_option("ADDRESS", words->address, "A number, symbol+offset, or an expression as of print")
      ->required();
  command.app().add_option("COUNT", words->request.count, "How many units; default 1");
  command.app()
      .add_option("-u,--unit", words->request.unit, "Bytes of a unit; default 8")
      ->check(CLI::IsMember({8, 4, 2, 1}));
  command.app().add_flag("-p,--physical", words->request.physical, "ADDRESS is a physical one");
  command.app().add_flag("-s,--symbols", words->request.symbols,
                         "Show symbols and slab caches in place of pointers to them");
  command.app().add_flag("-a,--string", words->request.string,
                         "The text up to the first zero byte, COUNT bytes at most (4096)");
  command.debug_info();
  command.output();
  command.run([words, &app = command.app()](const Options& options) -> int {
    const OpenSession opened(options);
    Session& session = *opened;
    require_kernel(session);
    MemoryRequest request = words->request;
    if (request.string && app.count("COUNT") == 0) request.count = 4096;
    if (request.symbols) {
      session.debug_info();
      session.modules();
    }
    request.query = escape_untrusted(words->address);
    request.start = require_address(session, words->address, request.physical);
    MemoryView view = view_memory(session.library(), session.owners(), std::move(request));
    std::vector<Limit> limits = holes(view);
    const bool nothing = view.readable_bytes == 0;
    const int code = finish(options, answer_of(session, std::move(view), std::move(limits)));
    return nothing ? exit_failed : code;
  });
}

void add_vtop(Program& program) {
  struct Words {
    std::string address;
    bool physical = false;
    int32_t pid = 0;
  };
  Command command(program, "vtop", "How an address is translated: each page table, the page frame");
  auto words = std::make_shared<Words>();
  command.one_dump();
  command.app()
      .add_option("ADDRESS", words->address, "A number, symbol+offset, or an expression as of print")
      ->required();
  command.app().add_flag("-p,--physical", words->physical, "ADDRESS is physical: where is it mapped?");
  command.app()
      .add_option("--task", words->pid, "Translate through the tables of this task")
      ->type_name("PID")
      ->excludes("--physical");
  command.debug_info();
  command.output();
  command.run([words, &app = command.app()](const Options& options) -> int {
    const OpenSession opened(options);
    Session& session = *opened;
    Kernel& kernel = require_kernel(session);
    TranslationRequest request;
    request.query = escape_untrusted(words->address);
    request.physical = words->physical;
    if (app.count("--task") != 0) request.task = words->pid;
    request.address = require_address(session, words->address, words->physical);
    AddressTranslation answer =
        translate_address(session.library(), kernel, session.owners(), std::move(request));
    const bool found = answer.physical_address.has_value();
    const int code = finish(options, answer_of(session, std::move(answer)));
    return found ? code : exit_failed;
  });
}

}  // namespace kdk
