// Session: one dump and whatever was found to explain it, opened step by step. What a command does not ask
// for is not opened: `log` never loads symbols, `bt` never walks tasks.
#pragma once

#include <filesystem>
#include <kdumpkit/kdumpkit.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "analyze/inspect/owner.h"
#include "analyze/symbols/find.h"
#include "analyze/symbols/module_debug.h"
#include "analyze/triage/report.h"
#include "analyze/unwind/annotate.h"
#include "core/formats/dump.h"
#include "core/kernel/kernel.h"
#include "core/kernel/modules.h"
#include "core/kernel/printk.h"
#include "core/kernel/typed_memory.h"
#include "library/opened_dump.h"

namespace kdk {

struct SessionOptions {
  std::vector<std::filesystem::path> dump;  // several: the parts of a split set
  DebugSearch search;
  bool use_debug_info = true;
  std::optional<std::filesystem::path> vmcoreinfo = {};  // a file to use for the dump's VMCOREINFO
};

class Session {
 public:
  // Opens the dump. Throws what open_kernel_dump() throws.
  explicit Session(const SessionOptions& options);
  // Over a dump that is open already; options.dump are only its names.
  Session(std::unique_ptr<Dump> dump, SessionOptions options);

  // The dump as libkdumpkit has it: what is opened through the one is open for the other.
  kdumpkit::Dump& library() { return library_; }
  const Dump& dump() const { return opened_.dump(); }
  InputFacts input() const;

  // The kernel, or nullptr when the dump does not allow it (no VMCOREINFO, unknown machine): then
  // kernel_error() says why.
  Kernel* kernel() { return opened_.kernel(); }
  const std::string& kernel_error() const { return opened_.kernel_error(); }
  // The log. Symbols and types are not loaded for it (Kernel opens them on first use).
  const KernelLog& log() { return opened_.log(); }
  // The matching vmlinux with its symbols and types added to kernel(), or nullptr.
  DebugInfo* debug_info();
  // Modules, with their symbols added to kernel().
  const ModuleList& modules() { return opened_.modules(); }
  // Kernel memory by types, those of the dump or of the vmlinux; and who owns an address. kernel() must be
  // there. Ask debug_info() and modules() first for what they add.
  TypedMemory& types();
  OwnerFinder& owners();
  // Source positions, of the vmlinux and of modules: opens the one and reads the list of the others.
  SourceLookup sources();

  // What the answers rest on so far.
  Evidence evidence();
  // Limits that concern every command: incomplete dump, no VMCOREINFO, refused vmlinux.
  std::vector<Limit> common_limits();

 private:
  SessionOptions options_;
  kdumpkit::Dump library_;
  OpenedDump& opened_;  // of library_
  bool debug_tried_ = false;
  FoundDebugInfo debug_;
  std::string debug_error_;  // the vmlinux that was asked for cannot be used
  std::string types_problem_;
  std::unique_ptr<TypedMemory> types_;
  std::unique_ptr<OwnerFinder> owners_;
  std::unique_ptr<ModuleDebug> module_debug_;
};

}  // namespace kdk
