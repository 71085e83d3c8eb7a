// Names of addresses and addresses of names, from the dump's own kallsyms; modules.
#include <fmt/format.h>

#include "library/handle.h"

using namespace kdk;

kdk::SymbolTable& kdumpkit_dump::symbols() {
  SymbolTable& table = kernel().symbols();
  if (table.empty()) {
    const std::string& why = opened.kernel()->kallsyms().why_not;
    throw Error(Errc::missing, "the dump has no symbols: " + (why.empty() ? "there is no kallsyms" : why));
  }
  return table;
}

namespace {

// Names in a SymbolTable end with a zero and stay where they are.
kdumpkit_symbol to_public(const Symbol& symbol, uint64_t offset) {
  return {symbol.name.data(), symbol.module.data(), symbol.address, symbol.size, offset, symbol.type};
}

// Asks the kernel's symbols, and when they do not answer, again with the modules'.
template <typename Ask>
int find_symbol(kdumpkit_dump* dump, kdumpkit_symbol* symbol, kdumpkit_error** error, Ask&& ask) noexcept {
  if (symbol == nullptr) return store_argument(error, "the result");
  *symbol = {"", "", 0, 0, 0, '?'};
  if (dump == nullptr) return store_argument(error, "the dump");
  return guarded(error, dump->file, [&] {
    SymbolTable& table = dump->symbols();
    auto found = ask(table);
    if (!found) {
      dump->opened.modules();
      found = ask(table);
    }
    if (!found) not_found("there is no such symbol");
    *symbol = to_public(found->symbol, found->offset);
  });
}

}  // namespace

int kdumpkit_dump_symbol_at(kdumpkit_dump* dump, uint64_t address, kdumpkit_symbol* symbol,
                            kdumpkit_error** error) {
  return find_symbol(dump, symbol, error, [&](const SymbolTable& table) { return table.lookup(address); });
}

int kdumpkit_dump_symbol(kdumpkit_dump* dump, const char* name, kdumpkit_symbol* symbol,
                         kdumpkit_error** error) {
  if (name == nullptr) return store_argument(error, "the name");
  return find_symbol(dump, symbol, error, [&](const SymbolTable& table) -> std::optional<SymbolHit> {
    const std::optional<Symbol> found = table.find(name);
    return found ? std::optional(SymbolHit{*found, 0}) : std::nullopt;
  });
}

int kdumpkit_dump_symbols(kdumpkit_dump* dump, const char* name, kdumpkit_symbols** symbols,
                          kdumpkit_error** error) {
  return make_result(dump, symbols, error, [&](Owned<kdumpkit_symbols>& out) {
    SymbolTable& table = dump->symbols();
    dump->opened.modules();
    std::vector<const kdumpkit_symbol*> items;
    const auto add = [&](const Symbol& symbol) {
      kdumpkit_symbol& item = out.arena.make<kdumpkit_symbol>();
      item = to_public(symbol, 0);
      items.push_back(&item);
    };
    if (name != nullptr) {
      for (const Symbol& symbol : table.find_all(name)) add(symbol);
    } else {
      items.reserve(table.size());
      for (size_t i = 0; i < table.size(); ++i) add(table.at(i));
    }
    out.set_items(items);
  });
}

void kdumpkit_symbols_free(kdumpkit_symbols* symbols) {
  free_owned(symbols);
}

int kdumpkit_dump_modules(kdumpkit_dump* dump, kdumpkit_modules** modules, kdumpkit_error** error) {
  return make_result(dump, modules, error, [&](Owned<kdumpkit_modules>& out) {
    dump->kernel();
    const ModuleList& list = dump->opened.modules();
    if (list.modules.empty() && !list.why_not.empty()) throw Error(Errc::missing, list.why_not);
    std::vector<const kdumpkit_module*> items;
    for (const Module& module : list.modules) {
      kdumpkit_module& item = out.arena.make<kdumpkit_module>();
      item.name = out.arena.text(module.name);
      item.address = module.address;
      for (const Module::Range& range : module.ranges) {
        if (range.kind == "text") item.base = range.base;
      }
      item.size = module.size_bytes;
      item.state = out.arena.text(module.state);
      item.taint = out.arena.text(module.taint_letters);
      item.version = out.arena.text(module.version);
      item.srcversion = out.arena.text(module.srcversion);
      item.build_id = out.arena.text(module.build_id);
      items.push_back(&item);
    }
    out.set_items(items);
    out.problems = out.arena.strings(list.problems);
  });
}

void kdumpkit_modules_free(kdumpkit_modules* modules) {
  free_owned(modules);
}
