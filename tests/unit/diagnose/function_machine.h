// A synthetic machine whose kernel has functions f0, f1, ... of 0x100 bytes each, from _stext on.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/diagnose/unwind.h"
#include "tests/support/dump_builder.h"

namespace kdk::test {

struct FunctionMachine {
  explicit FunctionMachine(MachineOptions options) : machine(std::move(options)) {}

  uint64_t function(unsigned n, uint64_t offset = 0) const {
    return machine.stext().value + n * 0x100 + offset;
  }
  // What was put into `machine`, `names` and `variables` until now becomes the dump and its kernel.
  void open(unsigned functions = 40) {
    dump = machine.open();
    kernel = std::make_unique<Kernel>(*dump);
    SymbolTable& table = kernel->symbols();
    for (unsigned n = 0; n < functions; ++n) {
      auto named = names.find(n);
      table.add(function(n), 0x100, 'T', named == names.end() ? "f" + std::to_string(n) : named->second);
    }
    for (const auto& [name, address] : variables) table.add(address.value, 0, 'D', name);
    table.finish();
  }
  std::vector<std::string> functions_of(Backtrace trace) {
    symbolise(*kernel, trace);
    std::vector<std::string> out;
    for (const Frame& frame : trace.frames) out.push_back(frame.symbol);
    return out;
  }

  DumpBuilder machine;
  std::map<unsigned, std::string> names;  // of functions that are not called f<n>
  std::map<std::string, VirtAddr> variables;
  std::unique_ptr<Dump> dump;
  std::unique_ptr<Kernel> kernel;
};

}  // namespace kdk::test
