// The search for VMCOREINFO in dumps of hypervisors, over synthetic machines.
#include "core/kernel/vmcoreinfo_search.h"

#include <gtest/gtest.h>

#include "core/base/file.h"
#include "core/kernel/memory.h"
#include "tests/support/dump_builder.h"

namespace kdk {
namespace {

using test::DumpBuilder;
using test::MachineOptions;
using test::X86_64Options;

constexpr uint64_t mib = uint64_t{1} << 20;

// init_uts_ns, which a note is held against.
void add_release(DumpBuilder& machine) {
  const VirtAddr names = machine.image_alloc(400);
  machine.symbol("init_uts_ns", names);
  machine.offset("uts_namespace.name", 0);
  machine.put_text(names + 130, machine.options().release);
}

void put_note(DumpBuilder& machine, PhysAddr at, std::string_view text) {
  std::vector<uint8_t> note;
  append_note(note, "VMCOREINFO", 0, as_bytes(text));
  machine.put_phys(at, note);
}

// A machine as a hypervisor dumps it, with its note in a page of its own.
DumpBuilder make_machine(MachineOptions options) {
  DumpBuilder machine(std::move(options));
  machine.withhold_vmcoreinfo();
  add_release(machine);
  put_note(machine, machine.alloc_pages(2), machine.vmcoreinfo());
  return machine;
}

void add_qemu_cpu(DumpBuilder& machine, uint64_t cr3) {
  std::vector<uint8_t> state(440);  // struct QEMUCPUState
  store(MutableBytes(state), 0, ul32(1u));
  store(MutableBytes(state), 4, ul32(440u));
  store(MutableBytes(state), 416, ul64(cr3));
  machine.add_note("QEMU", 0, state);
}

std::unique_ptr<Dump> open_elf(const DumpBuilder& machine) {
  return open_searching(
      [&](const OpenOptions& o) { return open_dump(memory_source(machine.elf(), "elf"), o); });
}

std::string problems_of(const Dump& dump) {
  std::string all;
  for (const std::string& problem : dump.problems()) all += problem + "\n";
  return all;
}

TEST(VmcoreinfoSearch, FindsTheNoteOfEveryMachine) {
  for (const MachineOptions& options :
       {MachineOptions{.x86_64 = X86_64Options{}}, MachineOptions{.x86_64 = X86_64Options{.levels = 5}},
        MachineOptions{}, MachineOptions{.page_size = 16384, .va_bits = 47},
        MachineOptions{.page_size = 65536, .va_bits = 48}}) {
    const DumpBuilder machine = make_machine(options);
    const std::unique_ptr<Dump> dump = open_elf(machine);
    EXPECT_EQ(dump->vmcoreinfo().text(), machine.vmcoreinfo());
    EXPECT_EQ(dump->info().vmcoreinfo_source, VmcoreinfoSource::memory);
    EXPECT_EQ(dump->info().page_size, machine.page_size());
    EXPECT_NE(problems_of(*dump).find("MiB of its memory were searched"), std::string::npos);
    KernelMemory memory(*dump);
    EXPECT_TRUE(memory.translate(machine.stext()));
    // A copy of the dump has it among its notes.
    EXPECT_EQ(parse_notes(dump->raw_notes()).back().name, "VMCOREINFO");
  }
}

TEST(VmcoreinfoSearch, ReadsCompressedDumps) {
  const DumpBuilder machine = make_machine({.x86_64 = X86_64Options{}});
  for (Codec codec : {Codec::zlib, Codec::lzo, Codec::snappy}) {
    const std::unique_ptr<Dump> dump = open_searching(
        [&](const OpenOptions& o) { return open_dump(memory_source(machine.kdump(codec), "kdump"), o); });
    EXPECT_EQ(dump->vmcoreinfo().text(), machine.vmcoreinfo());
  }
}

// Kernels up to v4.12 had the note in the image, at no special place.
TEST(VmcoreinfoSearch, FindsANoteThatLiesAcrossPages) {
  for (uint64_t before : {uint64_t{4}, uint64_t{12}, uint64_t{16}, uint64_t{28}, uint64_t{100}}) {
    DumpBuilder machine({.x86_64 = X86_64Options{}});
    machine.withhold_vmcoreinfo();
    add_release(machine);
    put_note(machine, machine.alloc_pages(3) + (4096 - before), machine.vmcoreinfo());
    EXPECT_EQ(open_elf(machine)->vmcoreinfo().text(), machine.vmcoreinfo()) << before;
  }
}

TEST(VmcoreinfoSearch, SearchesOnlyWhenThereIsNone) {
  DumpBuilder machine({.x86_64 = X86_64Options{}});
  put_note(machine, machine.alloc_pages(2), "OSRELEASE=other\n");
  unsigned opened = 0;
  const auto dump = open_searching([&](const OpenOptions& o) {
    ++opened;
    return open_dump(memory_source(machine.elf(), "elf"), o);
  });
  EXPECT_EQ(opened, 1u);
  EXPECT_EQ(dump->vmcoreinfo().text(), machine.vmcoreinfo());
  EXPECT_TRUE(dump->problems().empty());
}

TEST(VmcoreinfoSearch, SaysWhyItTookNone) {
  DumpBuilder machine({.x86_64 = X86_64Options{}});
  machine.withhold_vmcoreinfo();
  EXPECT_NE(problems_of(*open_elf(machine)).find("no VMCOREINFO note was found"), std::string::npos);

  // Its root table is somewhere else; its release is not that of the memory; it is cut short or no note at
  // all.
  add_release(machine);
  DumpBuilder elsewhere = machine;
  elsewhere.number("phys_base", 8 * int64_t{mib});
  put_note(machine, machine.alloc_pages(2), elsewhere.vmcoreinfo());
  DumpBuilder renamed = machine;
  renamed.set("OSRELEASE", "6.12.0-other");
  put_note(machine, machine.alloc_pages(2), renamed.vmcoreinfo());
  put_note(machine, machine.alloc_pages(2), "OSRELEASE=1\n");
  machine.put_phys(machine.alloc_pages(1) + 12,
                   as_bytes(std::string_view("VMCOREINFO\0\0OSRELEASE=2\n", 25)));
  const auto dump = open_elf(machine);
  EXPECT_TRUE(dump->vmcoreinfo().empty());
  EXPECT_EQ(dump->info().vmcoreinfo_source, VmcoreinfoSource::absent);
  const std::string problems = problems_of(*dump);
  EXPECT_NE(problems.find("no VMCOREINFO note fits"), std::string::npos) << problems;
  EXPECT_NE(problems.find("6.12.0-other at physical address"), std::string::npos) << problems;
  EXPECT_NE(problems.find("its release is not where it says"), std::string::npos) << problems;
  EXPECT_NE(problems.find("NUMBER(phys_base)"), std::string::npos) << problems;
  EXPECT_NE(problems.find("--vmcoreinfo"), std::string::npos) << problems;
}

TEST(VmcoreinfoSearch, PrefersTheKernelsOwnNoteToCopies) {
  DumpBuilder machine = make_machine({.x86_64 = X86_64Options{}});
  const std::string own = machine.vmcoreinfo();
  // Longer, but not where the kernel has it: overwritten in part.
  put_note(machine, machine.alloc_pages(3) + 0x4cc, own + "BROKEN\n");
  EXPECT_EQ(open_elf(machine)->vmcoreinfo().text(), own);
  // One that differs at such a place as well leaves it open.
  machine.set("BUILD-ID", std::string(40, 'f'));
  put_note(machine, machine.alloc_pages(2), machine.vmcoreinfo());
  EXPECT_NE(problems_of(*open_elf(machine)).find("nothing tells"), std::string::npos);
}

TEST(VmcoreinfoSearch, TakesTheLaterTextOfOneKernel) {
  DumpBuilder machine = make_machine({.x86_64 = X86_64Options{}});
  const std::string later = machine.vmcoreinfo() + "EXTRA=1\n";
  put_note(machine, machine.alloc_pages(2), later);
  put_note(machine, machine.alloc_pages(2), later);  // a copy adds nothing
  EXPECT_EQ(open_elf(machine)->vmcoreinfo().text(), later);
}

// The memory of a second kernel that is whole as well, such as kexec leaves behind.
struct TwoKernels {
  explicit TwoKernels(std::optional<X86_64Options> x86)
      : running({.ram = {{0, 16 * mib}, {64 * mib, 16 * mib}}, .x86_64 = x86}),
        replaced(
            {.ram = {{64 * mib, 16 * mib}}, .kaslr = 0x2600000, .release = "6.1.0-replaced", .x86_64 = x86}) {
    for (DumpBuilder* machine : {&running, &replaced}) {
      machine->withhold_vmcoreinfo();
      add_release(*machine);
      put_note(*machine, machine->alloc_pages(2), machine->vmcoreinfo());
    }
    for (const PfnRange& range : replaced.ram()) {
      for (Pfn pfn = range.begin; pfn < range.end; pfn = pfn + 1)
        running.put_phys({pfn.value * replaced.page_size()}, replaced.page(pfn));
    }
  }
  DumpBuilder running, replaced;
};

TEST(VmcoreinfoSearch, LetsTheCpusDecideBetweenKernels) {
  TwoKernels two{X86_64Options{}};
  const std::string problems = problems_of(*open_elf(two.running));
  EXPECT_NE(problems.find("nothing tells which of several kernels was running"), std::string::npos)
      << problems;
  EXPECT_NE(problems.find("6.1.0-replaced"), std::string::npos) << problems;
  EXPECT_NE(problems.find("6.12.0-synthetic"), std::string::npos) << problems;

  // CR3 has flags in its low bits, or is the user half's with page table isolation.
  for (uint64_t flags : {uint64_t{0}, uint64_t{0x18}, uint64_t{0x1000}}) {
    TwoKernels first{X86_64Options{}};
    add_qemu_cpu(first.running, first.running.root_table().value | flags);
    EXPECT_EQ(open_elf(first.running)->vmcoreinfo().value("OSRELEASE"), "6.12.0-synthetic") << flags;
    TwoKernels second{X86_64Options{}};
    add_qemu_cpu(second.running, second.replaced.root_table().value | flags);
    EXPECT_EQ(open_elf(second.running)->vmcoreinfo().value("OSRELEASE"), "6.1.0-replaced") << flags;
  }
}

TEST(VmcoreinfoSearch, LetsProgramCountersDecideWithoutTheTables) {
  TwoKernels two{X86_64Options{}};
  Registers user, kernel;
  const auto& roles = x86_64().roles();
  user.set(roles.pc, 0x400000);
  kernel.set(roles.pc, two.running.stext().value + 0x20);
  constexpr size_t cs = 18;
  user.set(cs, 0x33);
  kernel.set(cs, 0x10);
  two.running.add_cpu(user, 1);
  two.running.add_cpu(kernel, 2);
  EXPECT_EQ(open_elf(two.running)->vmcoreinfo().value("OSRELEASE"), "6.12.0-synthetic");
}

TEST(VmcoreinfoSearch, AFileStandsIn) {
  const DumpBuilder machine = make_machine({.x86_64 = X86_64Options{}});
  const std::filesystem::path dir = std::filesystem::path(testing::TempDir()) / "vmcoreinfo-search";
  std::filesystem::create_directories(dir);
  write_file_atomic(dir / "dump", machine.elf());
  write_file_atomic(dir / "text", as_bytes("OSRELEASE=from-file\n"));
  const auto dump = open_kernel_dump({dir / "dump"}, dir / "text");
  EXPECT_EQ(dump->vmcoreinfo().value("OSRELEASE"), "from-file");
  EXPECT_EQ(dump->info().vmcoreinfo_source, VmcoreinfoSource::given);
  EXPECT_EQ(open_kernel_dump({dir / "dump"})->vmcoreinfo().text(), machine.vmcoreinfo());
  EXPECT_THROW(open_kernel_dump({dir / "dump"}, dir / "absent"), Error);
}

}  // namespace
}  // namespace kdk
