#include "analyze/examine_evidence.h"

#include <fmt/format.h>

#include "analyze/ask.h"
#include "core/base/log.h"
#include "core/kernel/system.h"

namespace kdk {
namespace {

class Examination {
 public:
  explicit Examination(Session& session) : session_(session) {}

  Doctor run() {
    dump();
    vmcoreinfo();
    Kernel* kernel = session_.kernel();
    if (kernel == nullptr) {
      add("kernel memory", "missing", escape_untrusted(session_.kernel_error()),
          "a dump of the same machine with VMCOREINFO, or --vmcoreinfo FILE");
      return std::move(out_);
    }
    add("kernel memory", "good", "the page tables are found: addresses can be translated");
    SystemInfo system = system_from_dump(session_.dump());
    complete_system(system, *kernel, session_.log());
    release_ = system.release;
    out_.distribution = distribution_of(system.release, system.version);
    log();
    symbols(*kernel);
    types(*kernel);
    orc(*kernel);
    vmlinux(*kernel);
    modules();
    return std::move(out_);
  }

 private:
  Checkup& add(std::string name, std::string state, std::string detail, std::string need = {}) {
    return out_.checks.emplace_back(
        Checkup{std::move(name), std::move(state), std::move(detail), std::move(need), {}});
  }

  void dump() {
    const DumpInfo& info = session_.dump().info();
    if (info.incomplete) {
      add("dump", "partial", "incomplete: " + escape_untrusted(info.incomplete_reason),
          "a complete dump of this crash");
      return;
    }
    add("dump", "good",
        fmt::format("complete, {}{}", info.format == DumpFormat::elf ? "ELF" : "kdump-compressed",
                    info.dump_level ? fmt::format(", dump level {}", *info.dump_level) : ""));
    if (session_.input().cpu_notes == 0)
      add("CPU registers", "missing", "no CPU left a note: stacks of running tasks start from guesses");
  }

  void vmcoreinfo() {
    const Vmcoreinfo& info = session_.dump().vmcoreinfo();
    if (info.empty()) {
      add("VMCOREINFO", "missing", "the dump has no such note, and none was found in its memory",
          "--vmcoreinfo FILE");
      return;
    }
    std::string missing;
    size_t count = 0;
    for (const char* key : {"OSRELEASE", "PAGESIZE", "BUILD-ID", "CRASHTIME"}) {
      if (info.value(key)) continue;
      missing += fmt::format("{}{}", count++ == 0 ? "" : ", ", key);
    }
    add("VMCOREINFO", "good", missing.empty() ? "present" : "present, without " + missing);
  }

  void log() {
    const KernelLog& log = session_.log();
    if (log.records.empty()) {
      add("log", "missing", log.problems.empty() ? "no record" : escape_untrusted(log.problems.front()));
    } else {
      add("log", log.problems.empty() ? "good" : "partial",
          fmt::format("{} records", log.records.size()) +
              (log.problems.empty() ? "" : ", " + escape_untrusted(log.problems.front())));
    }
  }

  void symbols(Kernel& kernel) {
    const KallsymsResult& found = kernel.kallsyms();
    if (!found.found) {
      add("symbols", "missing", "no kallsyms in the dump: " + escape_untrusted(found.why_not), package());
    } else if (!found.all) {
      add("symbols", "partial",
          fmt::format("{} functions, but no variables (CONFIG_KALLSYMS_ALL=n)", found.count), package());
    } else {
      add("symbols", "good", fmt::format("{} functions and variables", found.count));
    }
  }

  void types(Kernel& kernel) {
    if (kernel.btf() != nullptr) {
      add("types", "good", fmt::format("{} types (BTF)", kernel.btf()->type_count()));
    } else {
      add("types", "missing", "no BTF in the dump: struct layouts are those of VMCOREINFO", package());
    }
  }

  void orc(Kernel& kernel) {
    if (kernel.memory().arch().elf_machine() != x86_64().elf_machine()) return;  // others have frame records
    if (kernel.symbol("__start_orc_unwind_ip")) {
      add("ORC", "good", "the kernel's tables for its stacks are known");
    } else {
      add("ORC", "missing",
          "the kernel's tables for its stacks are not known: stacks are walked by call frame "
          "information, frame pointers or a scan",
          package());
    }
  }

  void vmlinux(Kernel& kernel) {
    session_.sources();
    const Evidence evidence = session_.evidence();
    if (!evidence.vmlinux.empty()) {
      const bool dwarf = evidence.tier == "T2";
      add("vmlinux", dwarf ? "good" : "partial",
          fmt::format("{}, same {}{}", evidence.vmlinux, evidence.vmlinux_match,
                      dwarf ? "" : "; without DWARF"),
          dwarf ? "" : package());
      return;
    }
    const std::string id = dump_build_id(kernel);
    Checkup& check = add("vmlinux", "missing", "none of this build: no source lines, no inlined functions",
                         package() + (id.empty() ? "" : fmt::format(" (build-id {})", id)));
    check.looked = evidence.vmlinux_tried;
    for (const std::string& why : evidence.vmlinux_refused) check.looked.push_back(why);
  }

  void modules() {
    const ModuleList& list = session_.modules();
    if (!list.why_not.empty()) {
      add("modules", "missing", escape_untrusted(list.why_not), package());
      return;
    }
    const SourceLookup sources = session_.sources();
    if (sources.modules == nullptr) return;
    for (const Module& module : list.modules) {
      for (const Module::Range& range : module.ranges) {
        if (range.kind == "text") sources.modules->file(range.base);
      }
    }
    for (const ModuleDebugFacts& facts : sources.modules->facts()) {
      const std::string name = "module " + escape_untrusted(facts.module);
      if (!facts.path.empty()) {
        add(name, "good", fmt::format("{}, same {}", escape_untrusted(facts.path), facts.match));
        continue;
      }
      Checkup& check =
          add(name, "missing", fmt::format("no debug file in {} places: no source lines", facts.places),
              facts.build_id.empty()
                  ? ""
                  : fmt::format("its .ko.debug (build-id {}), or --debug-dir DIR", facts.build_id));
      for (const std::string& why : facts.refused) check.looked.push_back(escape_untrusted(why));
    }
  }

  std::string package() const {
    const std::string named = debug_package(out_.distribution, release_);
    return named.empty() ? "the vmlinux of this build (--vmlinux FILE)" : named + ", or --vmlinux FILE";
  }

  Session& session_;
  std::string release_;
  Doctor out_;
};

}  // namespace

Answer<Doctor> make_doctor(Session& session) {
  Doctor facts = Examination(session).run();
  return answer_of(session, std::move(facts));
}

}  // namespace kdk
