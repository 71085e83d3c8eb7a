// `kdump-analyze mem`.
#include "analyze/render/mem.h"
#include "analyze/ask.h"
#include "analyze/commands/address_argument.h"
#include "analyze/commands/command.h"
#include "analyze/commands/commands.h"
#include "analyze/inspect/slab_use.h"

namespace kdk {
namespace {

AddressOwner owner_of(Session& session, const std::string& query) {
  AddressOwner out;
  out.query = escape_untrusted(query);
  // One address of several: what is wrong with it is its own answer.
  try {
    Kernel& kernel = require_kernel(session);
    out.owner = session.owners().find({require_address(session, query)});
    if (out.owner.physical) {
      out.page_state = to_string(kernel.dump().state({*out.owner.physical / kernel.memory().page_size()}));
      if (const auto linear = session.owners().linear({*out.owner.physical})) out.linear = linear->value;
    }
    if (out.owner.kind == Owner::Kind::slab) {
      SlabPages pages(session.types());
      if (const auto object = pages.object_of({out.owner.address})) {
        // Between two objects nobody uses anything.
        if (out.owner.address >= object->at.value) out.in_use = SlabUse(session.types()).in_use(*object);
      }
    }
  } catch (const Error& error) {
    out.error = error.message();
  }
  return out;
}

std::vector<MemoryAnswer::Area> areas_of(Session& session, std::vector<std::string>& problems) {
  VmapAreas found = read_vmap_areas(session.types());
  for (std::string& problem : found.problems) problems.push_back(escape_untrusted(problem));
  std::vector<MemoryAnswer::Area> out;
  for (const VmapArea& area : found.areas) {
    MemoryAnswer::Area item{area, {}};
    if (const auto hit = session.kernel()->symbols().lookup(area.caller); hit && area.caller != 0) {
      item.caller = fmt::format("{}+{:#x}", escape_untrusted(hit->symbol.name), hit->offset);
    }
    out.push_back(std::move(item));
  }
  return out;
}

}  // namespace

void add_mem(Program& program) {
  struct Words {
    std::vector<std::string> addresses;
    bool slabs = false, areas = false;
  };
  Command command(program, "mem", "Memory: totals, zones, slab caches, vmalloc areas; whose an address is");
  auto words = std::make_shared<Words>();
  command.one_dump();
  command.app().add_option("ADDRESS", words->addresses,
                           "Whose is it? A number, symbol+offset, or an expression");
  command.app().add_flag("-s,--slabs", words->slabs, "Slab caches");
  command.app().add_flag("--vmalloc", words->areas, "Areas of vmalloc space");
  command.debug_info();
  command.output();
  command.run([words](const Options& options) -> int {
    const OpenSession opened(options);
    Session& session = *opened;
    Kernel& kernel = require_kernel(session);
    session.debug_info();
    MemoryAnswer answer;
    std::vector<Limit> limits;
    // A section that cannot be had is named, and the others stay.
    const auto section = [&](std::string_view path, const std::function<void()>& fill) {
      try {
        fill();
      } catch (const Error& error) {
        limits.push_back({std::string(path), "section_failed", escape_untrusted(error.message()), "", true});
        answer.problems.push_back(escape_untrusted(error.message()));
      }
    };
    if (words->areas || !words->addresses.empty()) session.modules();
    for (const std::string& query : words->addresses) answer.addresses.push_back(owner_of(session, query));
    if (words->addresses.empty() && !words->slabs && !words->areas) {
      answer.summary = read_memory_summary(kernel);
      for (const std::string& why : answer.summary->missing) answer.problems.push_back(escape_untrusted(why));
    }
    if (words->slabs) {
      section("/slabs", [&] { answer.slabs = read_slab_table(session.types()); });
      if (answer.slabs) {
        for (const std::string& why : answer.slabs->problems)
          answer.problems.push_back(escape_untrusted(why));
      }
    }
    if (words->areas) section("/areas", [&] { answer.areas = areas_of(session, answer.problems); });
    size_t failed = 0;
    for (const AddressOwner& item : answer.addresses) failed += item.error.empty() ? 0 : 1;
    const bool nothing =
        !answer.summary && !answer.slabs && !answer.areas && failed == answer.addresses.size();
    const int code = finish(options, answer_of(session, std::move(answer), std::move(limits)));
    return nothing ? exit_failed : failed != 0 ? exit_partial : code;
  });
}

}  // namespace kdk
