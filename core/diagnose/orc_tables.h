// The ORC tables of one dump: the kernel image's, its modules', and what stands in for generated code.
// Source: arch/x86/kernel/unwind_orc.c (orc_find), arch/x86/include/asm/module.h (struct mod_arch_specific).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "core/diagnose/code_map.h"
#include "core/diagnose/orc.h"
#include "core/kernel/kernel.h"

namespace kdk {

class OrcTables {
 public:
  // `vmlinux` (may be null) is asked where the dump's own table of the image has no answer.
  OrcTables(Kernel& kernel, CodeMap& code, const OrcTable* vmlinux)
      : kernel_(kernel), code_(code), vmlinux_(vmlinux) {}

  // The rule for the instruction at `pc`; nullopt when no table covers it.
  std::optional<OrcRule> find(uint64_t pc);
  // Why the dump has no table of the image; empty when it has one or was not asked.
  const std::string& why_not() const { return why_not_; }

 private:
  void open_image();
  const OrcTable* module_table(const Module& module);
  std::optional<uint64_t> ftrace_source(uint64_t pc);

  Kernel& kernel_;
  CodeMap& code_;
  const OrcTable* vmlinux_;
  bool opened_ = false;
  std::optional<OrcFormat> format_;
  std::unique_ptr<OrcTable> image_;
  std::map<uint64_t, std::unique_ptr<OrcTable>> modules_;  // by struct module; null: it has none
  std::string why_not_;
};

}  // namespace kdk
