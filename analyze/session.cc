#include "analyze/session.h"

#include <fmt/format.h>

#include "core/base/log.h"
#include "core/formats/eraseinfo.h"
#include "core/kernel/vmcoreinfo_search.h"
#include "library/handle.h"

namespace kdk {
namespace {

std::string joined(const std::vector<std::filesystem::path>& paths) {
  std::string out;
  for (const auto& path : paths) out += (out.empty() ? "" : ", ") + path.string();
  return out;
}

// What the modules that were asked about lack.
void add_module_limits(const std::vector<ModuleDebugFacts>& modules, std::vector<Limit>& limits) {
  for (size_t i = 0; i < modules.size(); ++i) {
    const ModuleDebugFacts& module = modules[i];
    const std::string path = fmt::format("/evidence/modules/{}", i);
    for (const std::string& why : module.refused) limits.push_back({path, "debug_info_refused", why, ""});
    if (!module.path.empty()) continue;
    limits.push_back(
        {path, "debug_info_absent",
         fmt::format("no debug information of module {} was found in {} places: no source lines, no inlined "
                     "functions in its frames",
                     module.module, module.places),
         fmt::format("{}.ko with debug information{} in a directory given as --debug-dir DIR", module.module,
                     module.build_id.empty() ? "" : " (build-id " + module.build_id + ")")});
  }
}

}  // namespace

Session::Session(const SessionOptions& options)
    : Session(open_kernel_dump(options.dump, options.vmcoreinfo), options) {}

Session::Session(std::unique_ptr<Dump> dump, SessionOptions options)
    : options_(std::move(options)),
      library_(make_handle(std::move(dump), joined(options_.dump))),
      opened_(library_.get()->opened) {}

InputFacts Session::input() const {
  InputFacts input;
  for (const auto& path : options_.dump) input.files.push_back(escape_untrusted(path.string()));
  input.dump = dump().info();
  const Arch* arch = find_arch(input.dump.elf_machine);
  if (arch == nullptr) arch = find_arch(input.dump.uts_machine);
  if (arch != nullptr) input.architecture = arch->name();
  for (const PfnRange& range : dump().ram()) input.ram_bytes += range.count() * input.dump.page_size;
  for (const Note& note : dump().notes()) {
    if (note.name == "CORE" && note.type == nt_prstatus) ++input.cpu_notes;
  }
  input.vmcoreinfo = !dump().vmcoreinfo().empty();
  for (const std::string& line : eraseinfo_lines(dump())) input.erased.push_back(escape_untrusted(line));
  return input;
}

DebugInfo* Session::debug_info() {
  if (debug_tried_ || !options_.use_debug_info) return debug_.info.get();
  debug_tried_ = true;
  if (kernel() == nullptr) return nullptr;
  try {
    debug_ = find_debug_info(*kernel(), options_.search);
    if (debug_.info) {
      debug_.info->add_symbols(*kernel());
      debug_.info->add_types(*kernel(), &types_problem_);
    }
  } catch (const Error& error) {
    // Wrong or unreadable debug information never stops the answer: it is refused, said so, and the rest goes
    // on.
    debug_ = {};
    debug_error_ = error.message();
  }
  return debug_.info.get();
}

TypedMemory& Session::types() {
  if (!types_) types_ = std::make_unique<TypedMemory>(*kernel(), debug_.info ? debug_.info->types() : nullptr);
  return *types_;
}

OwnerFinder& Session::owners() {
  if (!owners_) owners_ = std::make_unique<OwnerFinder>(types());
  return *owners_;
}

SourceLookup Session::sources() {
  SourceLookup sources;
  if (kernel() == nullptr) return sources;
  sources.vmlinux = debug_info();
  modules();  // frames in modules need their symbols
  if (!module_debug_ && options_.use_debug_info) {
    module_debug_ = std::make_unique<ModuleDebug>(*kernel(), modules(), options_.search);
  }
  sources.modules = module_debug_.get();
  return sources;
}

Evidence Session::evidence() {
  Evidence evidence;
  Kernel* const kernel = opened_.kernel_if_opened();
  if (kernel == nullptr) {
    evidence.kallsyms.why_not = kernel_error();
    return evidence;
  }
  evidence.kallsyms = kernel->kallsyms();
  evidence.types = kernel->types_opened() && kernel->layout().has_types();
  if (evidence.types) evidence.types_source = kernel->btf() != nullptr ? "dump" : "vmlinux";
  for (const std::string& path : debug_.tried) evidence.vmlinux_tried.push_back(escape_untrusted(path));
  for (const std::string& why : debug_.problems) evidence.vmlinux_refused.push_back(escape_untrusted(why));
  if (!debug_error_.empty()) evidence.vmlinux_refused.push_back(escape_untrusted(debug_error_));
  if (evidence.kallsyms.found || debug_.info) evidence.tier = "T1";
  if (debug_.info) {
    evidence.vmlinux = escape_untrusted(debug_.info->path().string());
    evidence.vmlinux_build_id = debug_.info->build_id();
    evidence.vmlinux_match = debug_.match;
    const VmlinuxFile& dwarf = debug_.info->dwarf_file();
    if (&dwarf != &debug_.info->file()) evidence.vmlinux_debug_file = escape_untrusted(dwarf.path().string());
    if (debug_.info->has_dwarf()) evidence.tier = "T2";
  }
  if (module_debug_) evidence.modules = module_debug_->facts();
  return evidence;
}

std::vector<Limit> Session::common_limits() {
  std::vector<Limit> limits;
  Kernel* const kernel = opened_.kernel_if_opened();
  const DumpInfo& info = dump().info();
  if (info.incomplete) {
    limits.push_back({"/input/complete", "dump_incomplete", escape_untrusted(info.incomplete_reason),
                      "a complete dump of the same crash", true});
  }
  if (dump().vmcoreinfo().empty()) {
    limits.push_back(
        {"/input/vmcoreinfo", "vmcoreinfo_absent",
         "the dump has no VMCOREINFO note: its memory cannot be interpreted",
         "--vmcoreinfo FILE, or a dump taken by kdump or by a hypervisor with a vmcoreinfo device", true});
  } else if (!kernel_error().empty()) {
    limits.push_back({"/evidence", "kernel_unreadable", escape_untrusted(kernel_error()), "", true});
  }
  for (const std::string& problem : dump().problems()) {
    limits.push_back({"/input", "input_oddity", escape_untrusted(problem), ""});
  }
  if (kernel != nullptr) {
    for (const std::string& problem : kernel->problems()) {
      // A vmlinux has the symbols and the types that the dump lacks.
      if (debug_.info && types_problem_.empty()) continue;
      limits.push_back({"/evidence", "evidence_absent", escape_untrusted(problem), ""});
    }
  }
  if (!debug_error_.empty()) {
    limits.push_back({"/evidence/vmlinux", "debug_info_refused", escape_untrusted(debug_error_),
                      "the vmlinux of exactly this build", true});
  } else if (debug_tried_ && !debug_.info && kernel != nullptr) {
    std::string build_id = dump_build_id(*kernel);
    limits.push_back(
        {"/evidence/vmlinux", "debug_info_absent",
         fmt::format("no vmlinux of this build was found in {} places: no source lines, no inlined functions",
                     debug_.tried.size()),
         fmt::format("the kernel's debug package{}, --vmlinux FILE, or --debuginfod",
                     build_id.empty() ? "" : " (build-id " + build_id + ")")});
  }
  for (const std::string& problem : debug_.problems) {
    limits.push_back({"/evidence/vmlinux", "debug_info_refused", escape_untrusted(problem), ""});
  }
  if (debug_.info && !debug_.info->dwarf_problem().empty()) {
    limits.push_back(
        {"/evidence/vmlinux", "debug_info_refused", escape_untrusted(debug_.info->dwarf_problem()), ""});
  }
  if (module_debug_) add_module_limits(module_debug_->facts(), limits);
  if (!types_problem_.empty()) {
    limits.push_back({"/evidence/types", "type_absent", escape_untrusted(types_problem_), ""});
  }
  return limits;
}

}  // namespace kdk
