#include "capture/filter/kernel_facts.h"

#include <array>
#include <string_view>

namespace kdk {
namespace {

constexpr size_t name_bytes = 65;  // __NEW_UTS_LEN + 1, include/uapi/linux/utsname.h

std::string field(Bytes utsname, size_t index) {
  const std::string_view text = as_text(utsname.subspan(index * name_bytes, name_bytes));
  return std::string(text.substr(0, text.find('\0')));
}

std::optional<KernelNames> names_in_memory(Kernel& kernel) {
  const std::optional<VirtAddr> address = kernel.symbol("init_uts_ns");
  const std::optional<uint64_t> offset = kernel.vmcoreinfo().offset("uts_namespace.name");
  std::array<uint8_t, 6 * name_bytes> bytes{};
  if (!address || !offset || !kernel.memory().read(*address + *offset, bytes)) return std::nullopt;
  KernelNames names{field(bytes, 0), field(bytes, 1), field(bytes, 2),
                    field(bytes, 3), field(bytes, 4), field(bytes, 5)};
  if (names.sysname != "Linux") return std::nullopt;  // not what we think it is
  return names;
}

// For machines that core/arch does not know yet: readers choose the architecture by this name.
std::string_view machine_name(uint16_t elf_machine) {
  if (const Arch* arch = find_arch(elf_machine)) return arch->uts_machine();
  switch (elf_machine) {  // <elf.h> EM_*
    case 21:
      return "ppc64le";
    case 22:
      return "s390x";
    case 243:
      return "riscv64";
    case 258:
      return "loongarch64";
    default:
      return "";
  }
}

}  // namespace

KernelNames read_kernel_names(const Dump& dump, Kernel* kernel) {
  const DumpInfo& info = dump.info();
  // QEMU writes the machine and leaves the rest empty.
  if (!info.uts_machine.empty() && !info.uts_release.empty()) {
    return {"Linux", info.uts_nodename, info.uts_release, info.uts_version, info.uts_machine, ""};
  }
  if (kernel != nullptr) {
    if (std::optional<KernelNames> names = names_in_memory(*kernel)) return *names;
  }
  KernelNames names;
  names.sysname = "Linux";
  names.release = dump.vmcoreinfo().value("OSRELEASE").value_or("");
  names.machine = info.uts_machine.empty() ? std::string(machine_name(info.elf_machine)) : info.uts_machine;
  return names;
}

KdumpHeader dump_header(const Dump& dump, const KernelNames& names) {
  KdumpHeader header;
  header.page_size = dump.info().page_size;
  header.sysname = names.sysname;
  header.nodename = names.nodename;
  header.release = names.release;
  header.version = names.version;
  header.machine = names.machine;
  header.domainname = names.domainname;
  const Vmcoreinfo& info = dump.vmcoreinfo();
  header.crash_time = info.decimal("CRASHTIME").value_or(0);
  // x86-64 exports phys_base; on arm64 readers expect the start of RAM as the linear map sees it.
  header.phys_base = info.number("phys_base").value_or(info.number("PHYS_OFFSET").value_or(0));
  header.notes = dump.raw_notes();
  header.end_pfn = dump.end_pfn().value;
  return header;
}

void take_erased_names(KdumpHeader& header, Kernel& kernel, Kernel& scrubbed) {
  const std::optional<KernelNames> before = names_in_memory(kernel), after = names_in_memory(scrubbed);
  if (!before || (after && after->nodename == before->nodename && after->domainname == before->domainname))
    return;
  header.nodename = after ? after->nodename : "";
  header.domainname = after ? after->domainname : "";
}

ElfCoreHeader elf_header(const Dump& dump, Kernel* kernel) {
  ElfCoreHeader header;
  header.machine = dump.info().elf_machine;
  header.page_size = dump.info().page_size;
  header.notes = dump.raw_notes();
  if (kernel == nullptr) return header;
  const VaLayout& layout = kernel->memory().layout();
  if (layout.page_offset != 0) header.linear_offset = layout.page_offset - layout.phys_offset;
  std::optional<VirtAddr> begin = kernel->symbol("_text");
  if (!begin) begin = kernel->symbol("_stext");
  const std::optional<VirtAddr> end = kernel->symbol("_end");
  if (!begin || !end || *end <= *begin) return header;
  const uint64_t page = header.page_size, vaddr = align_down(begin->value, page);
  const uint64_t first = (vaddr - layout.image_offset) / page;
  const uint64_t pages = (align_up(end->value, page) - vaddr) / page;
  header.mappings.push_back({vaddr, {{first}, {first + pages}}});
  return header;
}

}  // namespace kdk
