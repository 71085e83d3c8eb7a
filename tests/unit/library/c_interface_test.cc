// The C interface of libkdumpkit, as a program in C sees it: codes, errors, results, and what it does with
// wrong calls.
#include <gtest/gtest.h>
#include <kdumpkit/kdumpkit.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/blocked_tasks.h"
#include "tests/support/crash_scene.h"

namespace kdk {
namespace {

using test::Scene;

// A dump and the last error, both freed.
class CInterface : public testing::Test {
 protected:
  ~CInterface() override {
    kdumpkit_error_free(error);
    kdumpkit_dump_close(dump);
  }
  void open(const std::vector<uint8_t>& bytes) {
    ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_open_bytes(bytes.data(), bytes.size(), nullptr, &dump, &error))
        << kdumpkit_error_message(error);
  }
  void open() { open(scene.machine->elf()); }
  // Where an error goes: the one before is freed.
  kdumpkit_error** fresh() {
    kdumpkit_error_free(error);
    error = nullptr;
    return &error;
  }
  std::string message() const { return kdumpkit_error_message(error); }

  Scene scene;
  kdumpkit_dump* dump = nullptr;
  kdumpkit_error* error = nullptr;
};

TEST_F(CInterface, TheVersionIsThatOfTheProject) {
  EXPECT_EQ(static_cast<uint32_t>(KDUMPKIT_VERSION), kdumpkit_version());
  const std::string ours = std::to_string(KDUMPKIT_VERSION_MAJOR) + "." +
                           std::to_string(KDUMPKIT_VERSION_MINOR) + "." +
                           std::to_string(KDUMPKIT_VERSION_PATCH);
  EXPECT_EQ(ours, kdumpkit_version_string());
  EXPECT_STREQ("format", kdumpkit_code_name(KDUMPKIT_ERROR_FORMAT));
  EXPECT_STREQ("unknown", kdumpkit_code_name(4711));
  EXPECT_STREQ("unknown", kdumpkit_memory_name(4711));
}

TEST_F(CInterface, SaysWhatTheDumpIs) {
  open();
  const kdumpkit_info* info = kdumpkit_dump_info(dump);
  EXPECT_STREQ("elf", info->format);
  EXPECT_STREQ("arm64", info->architecture);
  EXPECT_STREQ("aarch64", info->machine);
  EXPECT_STREQ("6.12.0-synthetic", info->release);
  EXPECT_STREQ("dump", info->vmcoreinfo_source);
  EXPECT_EQ(4096u, info->page_size);
  EXPECT_EQ(uint64_t{16} << 20, info->ram_bytes);
  EXPECT_EQ(1795455686, info->crash_time);
  EXPECT_EQ(-1, info->dump_level);
  EXPECT_EQ(0, info->incomplete);
  EXPECT_EQ(0u, info->problems.count);
  EXPECT_STREQ("6.12.0-synthetic", kdumpkit_dump_vmcoreinfo(dump, "OSRELEASE"));
  EXPECT_EQ(nullptr, kdumpkit_dump_vmcoreinfo(dump, "NOSUCH"));
  EXPECT_NE(nullptr, std::strstr(kdumpkit_dump_vmcoreinfo(dump, ""), "OSRELEASE=6.12.0-synthetic\n"));

  kdumpkit_system* system = nullptr;
  ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_system(dump, &system, fresh())) << message();
  EXPECT_STREQ("synthetic", system->hostname);
  EXPECT_STREQ("OE", system->taint);
  EXPECT_EQ(2, system->cpus_possible);
  EXPECT_EQ(1, system->cpus_online);
  EXPECT_EQ(48u, system->va_bits);
  EXPECT_EQ(scene.machine->page_offset(), system->page_offset);
  EXPECT_NE(nullptr, std::strstr(system->command_line, "crashkernel=256M"));
  kdumpkit_system_free(system);
}

TEST_F(CInterface, EveryFormatAndContainer) {
  for (const auto& bytes : {scene.machine->elf(), scene.machine->kdump()}) {
    kdumpkit_dump* opened = nullptr;
    ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_open_bytes(bytes.data(), bytes.size(), nullptr, &opened, fresh()));
    EXPECT_STREQ("6.12.0-synthetic", kdumpkit_dump_info(opened)->release);
    kdumpkit_dump_close(opened);
  }
}

TEST_F(CInterface, WhatCannotBeOpenedIsNamed) {
  EXPECT_EQ(KDUMPKIT_ERROR_MISSING, kdumpkit_dump_open("/nonexistent/vmcore", nullptr, &dump, fresh()));
  EXPECT_EQ(nullptr, dump);
  EXPECT_EQ(KDUMPKIT_ERROR_MISSING, kdumpkit_error_code(error));
  EXPECT_NE(std::string::npos, message().find("/nonexistent/vmcore"));
  EXPECT_STREQ("/nonexistent/vmcore", kdumpkit_error_file(error));
  EXPECT_EQ(0, kdumpkit_error_address(error, nullptr));
  EXPECT_EQ(KDUMPKIT_ERROR_FORMAT, kdumpkit_dump_open_bytes("hello", 5, nullptr, &dump, fresh()));
  // Nobody wants to know.
  EXPECT_EQ(KDUMPKIT_ERROR_FORMAT, kdumpkit_dump_open_bytes("hello", 5, nullptr, &dump, nullptr));
}

TEST_F(CInterface, NoErrorIsNoWords) {
  EXPECT_EQ(KDUMPKIT_OK, kdumpkit_error_code(nullptr));
  EXPECT_STREQ("", kdumpkit_error_message(nullptr));
  EXPECT_STREQ("", kdumpkit_error_hint(nullptr));
  EXPECT_STREQ("", kdumpkit_error_file(nullptr));
  EXPECT_EQ(0, kdumpkit_error_address(nullptr, nullptr));
  EXPECT_EQ(KDUMPKIT_MEMORY_OK, kdumpkit_error_memory(nullptr));
}

TEST_F(CInterface, ProgramsForANewerLibraryAreRefused) {
  const std::vector<uint8_t> bytes = scene.machine->elf();
  kdumpkit_open_options options = KDUMPKIT_OPEN_OPTIONS_INIT;
  ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_open_bytes(bytes.data(), bytes.size(), &options, &dump, &error));
  kdumpkit_dump_close(dump);
  options.version = KDUMPKIT_MAKE_VERSION(0, 99, 0);
  EXPECT_EQ(KDUMPKIT_ERROR_VERSION,
            kdumpkit_dump_open_bytes(bytes.data(), bytes.size(), &options, &dump, fresh()));
  EXPECT_EQ("the program was compiled for libkdumpkit 0.99.0, and this is " KDK_VERSION, message());
  options = kdumpkit_open_options{};
  EXPECT_EQ(KDUMPKIT_ERROR_ARGUMENT,
            kdumpkit_dump_open_bytes(bytes.data(), bytes.size(), &options, &dump, fresh()));
}

TEST_F(CInterface, AVmcoreinfoFromAFile) {
  const std::filesystem::path file = std::filesystem::path(testing::TempDir()) / "c_interface_vmcoreinfo";
  std::ofstream(file) << scene.machine->vmcoreinfo();
  scene.machine->withhold_vmcoreinfo();
  const std::vector<uint8_t> bytes = scene.machine->elf();
  kdumpkit_open_options options = KDUMPKIT_OPEN_OPTIONS_INIT;
  const std::string name = file.string();
  options.vmcoreinfo_file = name.c_str();
  ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_open_bytes(bytes.data(), bytes.size(), &options, &dump, fresh()))
      << message();
  EXPECT_STREQ("given", kdumpkit_dump_info(dump)->vmcoreinfo_source);
  uint64_t physical = 0;
  EXPECT_EQ(KDUMPKIT_OK, kdumpkit_dump_translate(dump, scene.init_task.value, &physical, nullptr, fresh()));
  std::filesystem::remove(file);
  options.vmcoreinfo_file = name.c_str();
  kdumpkit_dump* none = nullptr;
  EXPECT_EQ(KDUMPKIT_ERROR_MISSING,
            kdumpkit_dump_open_bytes(bytes.data(), bytes.size(), &options, &none, fresh()));
}

TEST_F(CInterface, ReadsAllOrSaysWhereItEnds) {
  test::DumpBuilder& machine = *scene.machine;
  const VirtAddr area = machine.alloc(3 * 4096, 4096);
  machine.put_u64(area + 4096 - 8, 0x1122334455667788);
  machine.put_u64(area + 2 * 4096, 42);
  machine.exclude(machine.pfn_of(machine.phys(area + 4096)));
  open();
  uint64_t word = 0;
  ASSERT_EQ(KDUMPKIT_OK,
            kdumpkit_dump_read(dump, KDUMPKIT_VIRTUAL, area.value + 4096 - 8, &word, sizeof word, fresh()));
  EXPECT_EQ(0x1122334455667788u, word);
  ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_read(dump, KDUMPKIT_PHYSICAL, machine.phys(area + 4096 - 8).value,
                                            &word, sizeof word, fresh()));

  std::vector<uint8_t> buffer(4096 + 16, 0xaa);
  EXPECT_EQ(KDUMPKIT_ERROR_FAULT, kdumpkit_dump_read(dump, KDUMPKIT_VIRTUAL, area.value + 4096 - 8,
                                                     buffer.data(), buffer.size(), fresh()));
  uint64_t at = 0;
  EXPECT_EQ(1, kdumpkit_error_address(error, &at));
  EXPECT_EQ(area.value + 4096, at);
  EXPECT_EQ(KDUMPKIT_MEMORY_EXCLUDED, kdumpkit_error_memory(error));
  EXPECT_STREQ("page excluded from the dump", kdumpkit_memory_name(kdumpkit_error_memory(error)));

  kdumpkit_pieces* pieces = nullptr;
  ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_read_pieces(dump, KDUMPKIT_VIRTUAL, area.value + 4096 - 8,
                                                   buffer.data(), buffer.size(), &pieces, fresh()));
  ASSERT_EQ(3u, pieces->count);
  EXPECT_EQ(8u, pieces->items[0]->size);
  EXPECT_EQ(KDUMPKIT_MEMORY_EXCLUDED, pieces->items[1]->memory);
  EXPECT_EQ(area.value + 4096, pieces->items[1]->address);
  EXPECT_EQ(4096u, pieces->items[1]->size);
  EXPECT_EQ(8u, pieces->items[2]->size);
  EXPECT_EQ(16u, pieces->readable_bytes);
  EXPECT_EQ(0x88, buffer[0]);
  EXPECT_EQ(0, buffer[8]);  // what is not there is zeros
  EXPECT_EQ(42, buffer[4096 + 8]);
  kdumpkit_pieces_free(pieces);
  EXPECT_EQ(KDUMPKIT_MEMORY_EXCLUDED, kdumpkit_dump_page(dump, machine.phys(area + 4096).value));
  EXPECT_EQ(KDUMPKIT_MEMORY_OK, kdumpkit_dump_page(dump, machine.phys(area).value));
  EXPECT_EQ(KDUMPKIT_MEMORY_MISSING, kdumpkit_dump_page(dump, 0));
}

TEST_F(CInterface, ReadsOfNothingAndOfTheEndOfTheAddressSpace) {
  open();
  EXPECT_EQ(KDUMPKIT_OK, kdumpkit_dump_read(dump, KDUMPKIT_VIRTUAL, 0, nullptr, 0, fresh()));
  std::vector<uint8_t> buffer(1 << 20);
  for (const int space : {KDUMPKIT_VIRTUAL, KDUMPKIT_PHYSICAL}) {
    kdumpkit_pieces* pieces = nullptr;
    ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_read_pieces(dump, space, UINT64_MAX - 100, buffer.data(),
                                                     buffer.size(), &pieces, fresh()));
    uint64_t sum = 0;
    for (size_t i = 0; i < pieces->count; ++i) sum += pieces->items[i]->size;
    EXPECT_EQ(buffer.size(), sum);
    kdumpkit_pieces_free(pieces);
  }
}

TEST_F(CInterface, PhysicalMemoryNeedsNoVmcoreinfo) {
  const uint64_t physical = scene.machine->image_phys(scene.init_task).value;
  std::vector<uint8_t> expected(256), found(256);
  {
    open();
    ASSERT_EQ(KDUMPKIT_OK,
              kdumpkit_dump_read(dump, KDUMPKIT_PHYSICAL, physical, expected.data(), 256, fresh()));
    kdumpkit_dump_close(dump);
  }
  scene.machine->withhold_vmcoreinfo();
  scene.machine->erase("OSRELEASE");
  open();
  EXPECT_STREQ("absent", kdumpkit_dump_info(dump)->vmcoreinfo_source);
  ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_read(dump, KDUMPKIT_PHYSICAL, physical, found.data(), 256, fresh()));
  EXPECT_EQ(expected, found);
  EXPECT_EQ(KDUMPKIT_ERROR_FAULT, kdumpkit_dump_read(dump, KDUMPKIT_PHYSICAL, 16, found.data(), 8, fresh()));
  EXPECT_EQ(KDUMPKIT_MEMORY_MISSING, kdumpkit_error_memory(error));
  // Everything else says why it cannot.
  kdumpkit_log* log = nullptr;
  EXPECT_EQ(KDUMPKIT_ERROR_MISSING, kdumpkit_dump_log(dump, &log, fresh()));
  EXPECT_NE(std::string::npos, message().find("VMCOREINFO"));
  EXPECT_EQ(KDUMPKIT_ERROR_MISSING,
            kdumpkit_dump_read(dump, KDUMPKIT_VIRTUAL, scene.init_task.value, found.data(), 8, fresh()));
}

TEST_F(CInterface, TranslatesAndShowsTheSteps) {
  const VirtAddr stack = scene.machine->vmalloc(1);
  open();
  uint64_t physical = 0, contiguous = 0;
  ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_translate(dump, stack.value + 16, &physical, &contiguous, fresh()));
  EXPECT_EQ(scene.machine->phys(stack).value + 16, physical);
  EXPECT_EQ(4096u - 16, contiguous);
  EXPECT_EQ(KDUMPKIT_NOT_FOUND,
            kdumpkit_dump_translate(dump, stack.value - 8, &physical, &contiguous, fresh()));
  EXPECT_EQ(0u, physical);
  EXPECT_EQ(KDUMPKIT_ERROR_FAULT, kdumpkit_dump_translate(dump, 0x400000, &physical, nullptr, fresh()));
  EXPECT_EQ(KDUMPKIT_MEMORY_NOT_KERNEL, kdumpkit_error_memory(error));

  kdumpkit_walk* walk = nullptr;
  ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_walk(dump, KDUMPKIT_KERNEL_TABLES, stack.value + 16, &walk, fresh()));
  ASSERT_EQ(4u, walk->count);
  EXPECT_STREQ("pgd", walk->items[0]->level);
  EXPECT_STREQ("table", walk->items[0]->kind);
  EXPECT_STREQ("pte", walk->items[3]->level);
  EXPECT_STREQ("leaf", walk->items[3]->kind);
  EXPECT_EQ(scene.machine->phys(stack).value + 16, walk->items[3]->to);
  EXPECT_NE(0u, walk->items[3]->flags.count);
  kdumpkit_walk_free(walk);
  // The same by the address of the root table.
  ASSERT_EQ(KDUMPKIT_OK,
            kdumpkit_dump_walk(dump, scene.machine->root_table().value, stack.value, &walk, fresh()));
  EXPECT_STREQ("leaf", walk->items[walk->count - 1]->kind);
  kdumpkit_walk_free(walk);
  EXPECT_EQ(KDUMPKIT_ERROR_FAULT, kdumpkit_dump_walk(dump, KDUMPKIT_KERNEL_TABLES, 0x400000, &walk, fresh()));
  EXPECT_EQ(nullptr, walk);
}

TEST_F(CInterface, NamesAndAddresses) {
  open();
  kdumpkit_symbol symbol;
  ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_symbol(dump, "init_task", &symbol, fresh())) << message();
  EXPECT_EQ(scene.init_task.value, symbol.address);
  EXPECT_EQ('D', symbol.type);
  EXPECT_STREQ("", symbol.module);
  ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_symbol_at(dump, scene.functions.at("panic") + 12, &symbol, fresh()));
  EXPECT_STREQ("panic", symbol.name);
  EXPECT_EQ(12u, symbol.offset);
  EXPECT_EQ(scene.functions.at("panic"), symbol.address);
  EXPECT_EQ(KDUMPKIT_NOT_FOUND, kdumpkit_dump_symbol(dump, "no_such_symbol", &symbol, fresh()));
  EXPECT_STREQ("", symbol.name);
  EXPECT_EQ(KDUMPKIT_NOT_FOUND, kdumpkit_dump_symbol_at(dump, 16, &symbol, fresh()));

  kdumpkit_symbols* all = nullptr;
  ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_symbols(dump, nullptr, &all, fresh()));
  std::set<std::string> names;
  for (size_t i = 0; i < all->count; ++i) {
    EXPECT_LE(all->items[i == 0 ? 0 : i - 1]->address, all->items[i]->address);
    names.insert(all->items[i]->name);
  }
  EXPECT_TRUE(names.contains("panic") && names.contains("init_task") && names.contains("_stext"));
  kdumpkit_symbols_free(all);
  ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_symbols(dump, "panic", &all, fresh()));
  ASSERT_EQ(1u, all->count);
  kdumpkit_symbols_free(all);

  kdumpkit_modules* modules = nullptr;
  ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_modules(dump, &modules, fresh()));
  ASSERT_EQ(1u, modules->count);
  EXPECT_STREQ("demo_driver", modules->items[0]->name);
  EXPECT_STREQ("OE", modules->items[0]->taint);
  EXPECT_STREQ("live", modules->items[0]->state);
  EXPECT_NE(0u, modules->items[0]->base);
  kdumpkit_modules_free(modules);
}

TEST_F(CInterface, TypesByTheirNamesInC) {
  open();
  uint64_t size = 0, offset = 0;
  int64_t value = 0;
  ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_type_size(dump, "task_struct", &size, fresh()));
  EXPECT_EQ(0x100u, size);
  ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_member_offset(dump, "task_struct", "tasks.prev", &offset, fresh()));
  EXPECT_EQ(Scene::tasks_offset + 8, offset);
  ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_enumerator(dump, "NR_SHMEM", &value, fresh()));
  EXPECT_EQ(6, value);
  // As C writes them, too, and types that have no struct.
  ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_type_size(dump, "struct task_struct", &size, fresh()));
  EXPECT_EQ(0x100u, size);
  ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_type_size(dump, "struct task_struct *", &size, fresh())) << message();
  EXPECT_EQ(8u, size);
  ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_member_offset(dump, "struct task_struct", "comm", &offset, fresh()));
  EXPECT_EQ(Scene::comm_offset, offset);
  EXPECT_EQ(KDUMPKIT_NOT_FOUND, kdumpkit_dump_type_size(dump, "nosuch", &size, fresh()));
  EXPECT_EQ(0u, size);
  EXPECT_EQ(KDUMPKIT_NOT_FOUND, kdumpkit_dump_member_offset(dump, "task_struct", "nosuch", &offset, fresh()));
  EXPECT_EQ(KDUMPKIT_NOT_FOUND, kdumpkit_dump_enumerator(dump, "NOSUCH", &value, fresh()));

  for (const char* name : {"task_struct", "struct task_struct"}) {
    kdumpkit_type* type = nullptr;
    ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_type(dump, name, &type, fresh())) << message();
    EXPECT_STREQ("struct task_struct", type->name);
    EXPECT_STREQ("struct", type->kind);
    EXPECT_EQ(0x100u, type->size);
    EXPECT_EQ(22u, type->member_count);
    EXPECT_STREQ("thread_info", type->members[0]->name);
    EXPECT_STREQ("struct thread_info thread_info", type->members[0]->declaration);
    EXPECT_EQ(16u, type->members[0]->size);
    kdumpkit_type_free(type);
  }
  kdumpkit_type* type = nullptr;
  ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_type(dump, "enum zone_stat_item", &type, fresh()));
  ASSERT_EQ(2u, type->enumerator_count);
  EXPECT_STREQ("NR_BOUNCE", type->enumerators[1]->name);
  EXPECT_EQ(1, type->enumerators[1]->value);
  kdumpkit_type_free(type);
  ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_member(dump, "task_struct", "comm", &type, fresh()));
  ASSERT_EQ(1u, type->member_count);
  EXPECT_STREQ("char comm[16]", type->members[0]->declaration);
  EXPECT_EQ(Scene::comm_offset, type->members[0]->offset);
  kdumpkit_type_free(type);
  for (const char* name : {"nosuch", "struct nosuch", "", "struct", "*", "struct task_struct["})
    EXPECT_EQ(KDUMPKIT_NOT_FOUND, kdumpkit_dump_type(dump, name, &type, fresh())) << name;
  EXPECT_EQ(KDUMPKIT_NOT_FOUND, kdumpkit_dump_member(dump, "task_struct", "nosuch", &type, fresh()));
  EXPECT_EQ(nullptr, type);
}

TEST_F(CInterface, TheLog) {
  open();
  kdumpkit_log* log = nullptr;
  ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_log(dump, &log, fresh()));
  ASSERT_LT(3u, log->count);
  const kdumpkit_record* first = log->items[0];
  EXPECT_STREQ("Booting Linux on physical CPU 0x0000000000", first->text);
  EXPECT_EQ(std::strlen(first->text), first->text_size);
  EXPECT_STREQ("[    0.001500] Booting Linux on physical CPU 0x0000000000", first->line);
  EXPECT_EQ(6, first->level);
  EXPECT_EQ(1'500'000u, first->time_ns);
  EXPECT_EQ(-1, first->pid);
  EXPECT_EQ(-1, first->cpu);
  // Results outlive the dump.
  kdumpkit_dump_close(dump);
  dump = nullptr;
  EXPECT_STREQ("Booting Linux on physical CPU 0x0000000000", log->items[0]->text);
  kdumpkit_log_free(log);
}

TEST_F(CInterface, TasksAndTheirStacks) {
  test::put_sleeping_stack(scene, scene.tasks.at(90), {"__schedule", "schedule", "__mutex_lock"});
  open();
  kdumpkit_tasks* tasks = nullptr;
  ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_tasks(dump, &tasks, fresh()));
  EXPECT_EQ(9u, tasks->count);
  EXPECT_EQ(1, tasks->complete);
  uint64_t running = 0, blocked = 0;
  for (size_t i = 0; i < tasks->count; ++i) {
    const kdumpkit_task* task = tasks->items[i];
    if (task->pid == 77) running = task->address;
    if (task->pid != 90) continue;
    blocked = task->address;
    EXPECT_STREQ("blocked", task->comm);
    EXPECT_STREQ("D", task->state);
    EXPECT_STREQ("uninterruptible", task->state_name);
    EXPECT_EQ(1, task->ppid);
    EXPECT_EQ(1, task->cpu);
    EXPECT_EQ(0, task->on_cpu);
  }
  kdumpkit_tasks_free(tasks);
  EXPECT_EQ(scene.blocked_task.value, blocked);

  kdumpkit_backtrace* trace = nullptr;
  ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_task_backtrace(dump, blocked, &trace, fresh())) << message();
  ASSERT_EQ(4u, trace->count);
  EXPECT_STREQ("__mutex_lock", trace->items[2]->symbol);
  EXPECT_STREQ("task", trace->items[2]->stack);
  EXPECT_STREQ("frame_record", trace->items[2]->trust);
  EXPECT_EQ(1, trace->complete);
  kdumpkit_backtrace_free(trace);
  ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_task_backtrace(dump, running, &trace, fresh())) << message();
  EXPECT_LT(1u, trace->count);
  kdumpkit_backtrace_free(trace);
  // The zombie has no stack.
  EXPECT_EQ(KDUMPKIT_NOT_FOUND,
            kdumpkit_dump_task_backtrace(dump, scene.tasks.at(91).value, &trace, fresh()));
  EXPECT_EQ(nullptr, trace);
  EXPECT_EQ(KDUMPKIT_NOT_FOUND, kdumpkit_dump_task_backtrace(dump, 16, &trace, fresh()));
}

TEST_F(CInterface, WhyTheKernelDied) {
  open();
  kdumpkit_crash* crash = nullptr;
  ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_crash(dump, &crash, fresh())) << message();
  EXPECT_STREQ("sysrq_crash", crash->class_name);
  EXPECT_STREQ("sysrq triggered crash", crash->panic_message);
  EXPECT_EQ(0, crash->cpu);
  EXPECT_EQ(77, crash->pid);
  EXPECT_STREQ("trigger", crash->comm);
  EXPECT_EQ(2u, crash->cpu_count);
  ASSERT_NE(nullptr, crash->crashed_cpu);
  EXPECT_EQ(crash->cpus[0], crash->crashed_cpu);
  EXPECT_EQ(scene.tasks.at(77).value, crash->crashed_cpu->task);
  EXPECT_LT(30u, crash->crashed_cpu->registers.count);
  EXPECT_STREQ("x0", crash->crashed_cpu->registers.items[0]->name);
  ASSERT_LT(0u, crash->crashed_cpu->backtrace->count);
  EXPECT_STREQ("registers", crash->crashed_cpu->backtrace->items[0]->trust);
  EXPECT_EQ(1, crash->log_trace_agrees);
  EXPECT_EQ('{', crash->json[0]);
  kdumpkit_crash_free(crash);
}

TEST_F(CInterface, TextOfTheDumpIsEscaped) {
  scene = Scene({.hostile_names = true});
  open();
  kdumpkit_tasks* tasks = nullptr;
  ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_tasks(dump, &tasks, fresh()));
  for (size_t i = 0; i < tasks->count; ++i) EXPECT_EQ(nullptr, std::strchr(tasks->items[i]->comm, 0x1b));
  kdumpkit_tasks_free(tasks);
  kdumpkit_log* log = nullptr;
  ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_log(dump, &log, fresh()));
  size_t raw = 0;
  for (size_t i = 0; i < log->count; ++i) {
    EXPECT_EQ(nullptr, std::strchr(log->items[i]->line, 0x1b));
    raw += std::memchr(log->items[i]->text, 0x1b, log->items[i]->text_size) != nullptr;
  }
  EXPECT_EQ(1u, raw);
  kdumpkit_log_free(log);
  char out[8];
  EXPECT_EQ(7u, kdumpkit_escape("a\x1b[m", 4, out, sizeof out));
  EXPECT_STREQ("a\\x1b[m", out);
  EXPECT_EQ(7u, kdumpkit_escape("a\x1b[m", 4, out, 4));
  EXPECT_STREQ("a\\x", out);
  EXPECT_EQ(7u, kdumpkit_escape("a\x1b[m", 4, nullptr, 0));
}

TEST_F(CInterface, WhatIsMissingIsSaid) {
  scene.machine->erase("SYMBOL(kallsyms_names)");
  open();
  kdumpkit_symbol symbol;
  EXPECT_EQ(KDUMPKIT_ERROR_MISSING, kdumpkit_dump_symbol(dump, "panic", &symbol, fresh()));
  EXPECT_NE(std::string::npos, message().find("the dump has no symbols")) << message();
}

// Every function with NULL for everything that may not be.
TEST_F(CInterface, NullIsRefused) {
  open();
  constexpr int wrong = KDUMPKIT_ERROR_ARGUMENT;
  kdumpkit_dump* none = nullptr;
  EXPECT_EQ(wrong, kdumpkit_dump_open(nullptr, nullptr, &none, fresh()));
  EXPECT_EQ("the path is NULL", message());
  EXPECT_EQ(wrong, kdumpkit_dump_open("x", nullptr, nullptr, fresh()));
  EXPECT_EQ(wrong, kdumpkit_dump_open_parts(nullptr, 1, nullptr, &none, fresh()));
  EXPECT_EQ(wrong, kdumpkit_dump_open_parts(nullptr, 0, nullptr, &none, fresh()));
  EXPECT_EQ(wrong, kdumpkit_dump_open_bytes(nullptr, 1, nullptr, &none, fresh()));
  EXPECT_EQ(wrong, kdumpkit_dump_open_bytes("", 0, nullptr, nullptr, fresh()));
  EXPECT_EQ(wrong, kdumpkit_dump_clone(nullptr, &none, fresh()));
  EXPECT_EQ(wrong, kdumpkit_dump_clone(dump, nullptr, fresh()));
  EXPECT_EQ(nullptr, kdumpkit_dump_info(nullptr));
  EXPECT_EQ(nullptr, kdumpkit_dump_vmcoreinfo(nullptr, "x"));
  EXPECT_EQ(nullptr, kdumpkit_dump_vmcoreinfo(dump, nullptr));
  EXPECT_EQ(KDUMPKIT_MEMORY_MISSING, kdumpkit_dump_page(nullptr, 0));
  uint64_t number = 0;
  int64_t value = 0;
  kdumpkit_symbol symbol;
  EXPECT_EQ(wrong, kdumpkit_dump_read(nullptr, KDUMPKIT_VIRTUAL, 0, &number, 8, fresh()));
  EXPECT_EQ(wrong, kdumpkit_dump_read(dump, KDUMPKIT_VIRTUAL, 0, nullptr, 8, fresh()));
  EXPECT_EQ(wrong, kdumpkit_dump_read(dump, 7, 0, &number, 8, fresh()));
  EXPECT_EQ(wrong, kdumpkit_dump_translate(nullptr, 0, &number, nullptr, fresh()));
  EXPECT_EQ(wrong, kdumpkit_dump_translate(dump, 0, nullptr, nullptr, fresh()));
  EXPECT_EQ(wrong, kdumpkit_dump_symbol_at(nullptr, 0, &symbol, fresh()));
  EXPECT_EQ(wrong, kdumpkit_dump_symbol_at(dump, 0, nullptr, fresh()));
  EXPECT_EQ(wrong, kdumpkit_dump_symbol(dump, nullptr, &symbol, fresh()));
  EXPECT_EQ(wrong, kdumpkit_dump_symbol(dump, "x", nullptr, fresh()));
  EXPECT_EQ(wrong, kdumpkit_dump_type_size(dump, nullptr, &number, fresh()));
  EXPECT_EQ(wrong, kdumpkit_dump_type_size(dump, "x", nullptr, fresh()));
  EXPECT_EQ(wrong, kdumpkit_dump_type_size(nullptr, "x", &number, fresh()));
  EXPECT_EQ(wrong, kdumpkit_dump_member_offset(dump, "x", nullptr, &number, fresh()));
  EXPECT_EQ(wrong, kdumpkit_dump_enumerator(dump, nullptr, &value, fresh()));
  kdumpkit_type* type = nullptr;
  EXPECT_EQ(wrong, kdumpkit_dump_type(dump, nullptr, &type, fresh()));
  EXPECT_EQ(wrong, kdumpkit_dump_type(dump, "x", nullptr, fresh()));
  EXPECT_EQ(wrong, kdumpkit_dump_type(nullptr, "x", &type, fresh()));
  EXPECT_EQ(wrong, kdumpkit_dump_member(dump, "x", nullptr, &type, fresh()));
  // Those of the form f(dump, &result, &error).
  const auto refuses = [&](auto function, auto* result) {
    EXPECT_EQ(wrong, function(nullptr, &result, fresh()));
    EXPECT_EQ("the dump is NULL", message());
    EXPECT_EQ(nullptr, result);
    EXPECT_EQ(wrong, function(dump, nullptr, fresh()));
    EXPECT_EQ(wrong, function(nullptr, nullptr, nullptr));
  };
  refuses(kdumpkit_dump_system, static_cast<kdumpkit_system*>(nullptr));
  refuses(kdumpkit_dump_ram, static_cast<kdumpkit_pieces*>(nullptr));
  refuses(kdumpkit_dump_modules, static_cast<kdumpkit_modules*>(nullptr));
  refuses(kdumpkit_dump_log, static_cast<kdumpkit_log*>(nullptr));
  refuses(kdumpkit_dump_tasks, static_cast<kdumpkit_tasks*>(nullptr));
  refuses(kdumpkit_dump_crash, static_cast<kdumpkit_crash*>(nullptr));
  kdumpkit_dump_close(nullptr);
  kdumpkit_error_free(nullptr);
  kdumpkit_system_free(nullptr);
  kdumpkit_pieces_free(nullptr);
  kdumpkit_walk_free(nullptr);
  kdumpkit_symbols_free(nullptr);
  kdumpkit_modules_free(nullptr);
  kdumpkit_type_free(nullptr);
  kdumpkit_log_free(nullptr);
  kdumpkit_tasks_free(nullptr);
  kdumpkit_backtrace_free(nullptr);
  kdumpkit_crash_free(nullptr);
}

TEST_F(CInterface, ClonesWorkInThreadsAndOutliveTheirOrigin) {
  open();
  constexpr size_t threads = 4;
  std::vector<kdumpkit_dump*> clones(threads);
  for (kdumpkit_dump*& clone : clones) ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_clone(dump, &clone, fresh()));
  kdumpkit_dump_close(dump);
  dump = nullptr;
  std::vector<size_t> tasks_seen(threads);
  {
    std::vector<std::jthread> workers;
    for (size_t i = 0; i < threads; ++i) {
      workers.emplace_back([&, i] {
        kdumpkit_tasks* tasks = nullptr;
        if (kdumpkit_dump_tasks(clones[i], &tasks, nullptr) == KDUMPKIT_OK) tasks_seen[i] = tasks->count;
        kdumpkit_tasks_free(tasks);
      });
    }
  }
  EXPECT_EQ(std::vector<size_t>(threads, 9), tasks_seen);
  for (kdumpkit_dump* clone : clones) kdumpkit_dump_close(clone);
}

// A mapped file that is cut short: its pages are unreadable.
TEST_F(CInterface, AFileThatIsCutShortCostsPages) {
  const std::filesystem::path file = std::filesystem::path(testing::TempDir()) / "c_interface_cut";
  const std::vector<uint8_t> bytes = scene.machine->elf();
  std::ofstream(file, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  ASSERT_EQ(KDUMPKIT_OK, kdumpkit_dump_open(file.c_str(), nullptr, &dump, fresh())) << message();
  const uint64_t physical = scene.machine->image_phys(scene.init_task).value;
  std::filesystem::resize_file(file, 4096);
  uint64_t word = 0;
  EXPECT_EQ(KDUMPKIT_ERROR_FAULT, kdumpkit_dump_read(dump, KDUMPKIT_PHYSICAL, physical, &word, 8, fresh()));
  EXPECT_EQ(KDUMPKIT_MEMORY_UNREADABLE, kdumpkit_error_memory(error));
  std::filesystem::remove(file);
}

// What is not of ours goes to the handler that was there before.
TEST_F(CInterface, ASignalOfTheProgramsOwnIsHandedOn) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";  // a process in which nothing has been opened yet
  const auto open_and_raise = [this] {
    std::signal(SIGBUS, [](int) { _exit(7); });
    open();
    std::raise(SIGBUS);
  };
  EXPECT_EXIT(open_and_raise(), testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace kdk
