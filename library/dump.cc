// Opening dumps, and what they say of themselves.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstddef>

#include "core/base/bus_error.h"
#include "core/base/file.h"
#include "core/formats/byte_source.h"
#include "core/kernel/system.h"
#include "core/kernel/vmcoreinfo_search.h"
#include "library/handle.h"

using namespace kdk;

namespace {

int64_t known(const auto& value) {
  return value ? static_cast<int64_t>(*value) : -1;
}

// Adds the words of `set` to those of the dump.
void fill_info(Owned<kdumpkit_info>& out, const Dump& dump, std::string_view file) {
  Arena& arena = out.arena;
  const DumpInfo& info = dump.info();
  const SystemInfo system = system_from_dump(dump);
  out.file = arena.text(file);
  out.format = info.format == DumpFormat::elf ? "elf" : "kdump-compressed";
  out.flattened = info.flattened;
  out.parts = info.split_parts;
  out.incomplete = info.incomplete;
  out.incomplete_reason = arena.text(info.incomplete_reason);
  out.dump_level = info.dump_level.value_or(-1);
  out.file_bytes = info.file_bytes;
  out.architecture = arena.text(system.architecture);
  out.page_size = info.page_size;
  for (const PfnRange& range : dump.ram()) out.ram_bytes += range.count() * info.page_size;
  out.vmcoreinfo_source = to_string(info.vmcoreinfo_source).data();
  out.release = arena.text(system.release);
  out.version = arena.text(system.version);
  out.machine = arena.text(system.machine);
  out.hostname = arena.text(system.hostname);
  out.build_id = arena.text(system.build_id);
  out.crash_time = known(system.crash_time);
  out.problems = arena.strings(dump.problems());
}

// What the caller's options say, whatever version of the struct they are. Throws Refusal.
std::optional<std::filesystem::path> vmcoreinfo_file(const kdumpkit_open_options* options) {
  if (options == nullptr) return std::nullopt;
  if (options->size < sizeof(kdumpkit_open_options)) {
    throw Refusal{KDUMPKIT_ERROR_ARGUMENT, "the options are not made with KDUMPKIT_OPEN_OPTIONS_INIT"};
  }
  if (options->version > KDUMPKIT_VERSION) {
    throw Refusal{KDUMPKIT_ERROR_VERSION,
                  fmt::format("the program was compiled for libkdumpkit {}.{}.{}, and this is {}",
                              options->version >> 16, options->version >> 8 & 0xff, options->version & 0xff,
                              KDK_VERSION)};
  }
  if (options->vmcoreinfo_file == nullptr) return std::nullopt;
  return options->vmcoreinfo_file;
}

// Runs `open`, and gives the handle out.
template <typename F>
int open_handle(kdumpkit_dump** dump, kdumpkit_error** error, std::string_view file, F&& open) noexcept {
  if (dump == nullptr) return store_argument(error, "the result");
  *dump = nullptr;
  return guarded(error, file, [&] { *dump = open(); });
}

}  // namespace

kdumpkit_dump::kdumpkit_dump(std::shared_ptr<const Dump> dump, std::string name)
    : file(std::move(name)), opened(std::move(dump)) {
  install_bus_error_handler();
  fill_info(info, opened.dump(), file);
}

kdk::Kernel& kdumpkit_dump::kernel() {
  if (Kernel* kernel = opened.kernel()) return *kernel;
  throw Error(Errc::missing, "the kernel's memory cannot be interpreted: " + opened.kernel_error());
}

kdk::CTypes& kdumpkit_dump::types() {
  if (!types_) {
    auto memory = std::make_unique<TypedMemory>(kernel());
    types_ = std::make_unique<CTypes>(*memory);
    typed_memory_ = std::move(memory);
  }
  return *types_;
}

const kdk::Crash& kdumpkit_dump::crash() {
  if (!crash_) crash_ = diagnose(kernel(), opened.log());
  return *crash_;
}

namespace kdk {

kdumpkit_dump* make_handle(std::unique_ptr<Dump> dump, std::string file) {
  return new kdumpkit_dump(std::move(dump), std::move(file));
}

}  // namespace kdk

int kdumpkit_dump_open(const char* path, const kdumpkit_open_options* options, kdumpkit_dump** dump,
                       kdumpkit_error** error) {
  return kdumpkit_dump_open_parts(&path, 1, options, dump, error);
}

int kdumpkit_dump_open_parts(const char* const* paths, size_t count, const kdumpkit_open_options* options,
                             kdumpkit_dump** dump, kdumpkit_error** error) {
  if (dump != nullptr) *dump = nullptr;
  if (paths == nullptr || count == 0) return store_argument(error, "the path");
  std::string file;
  const int named = guarded(error, "", [&] {
    for (size_t i = 0; i < count; ++i) {
      if (paths[i] == nullptr) throw Refusal{KDUMPKIT_ERROR_ARGUMENT, "the path is NULL"};
      file += (i == 0 ? "" : ", ") + std::string(paths[i]);
    }
  });
  if (named != KDUMPKIT_OK) return named;
  return open_handle(dump, error, file, [&] {
    const auto vmcoreinfo = vmcoreinfo_file(options);
    return make_handle(open_kernel_dump({paths, paths + count}, vmcoreinfo), file);
  });
}

int kdumpkit_dump_open_bytes(const void* bytes, size_t size, const kdumpkit_open_options* options,
                             kdumpkit_dump** dump, kdumpkit_error** error) {
  if (dump != nullptr) *dump = nullptr;
  if (bytes == nullptr && size != 0) return store_argument(error, "the dump's memory");
  constexpr const char* name = "memory";
  return open_handle(dump, error, name, [&] {
    OpenOptions chosen;
    if (const auto file = vmcoreinfo_file(options))
      chosen.vmcoreinfo_text = vmcoreinfo_text(read_file(*file), file->string());
    const uint8_t* first = static_cast<const uint8_t*>(bytes);
    const auto open = [&](const OpenOptions& with) {
      return open_dump(memory_source({first, first + size}, name), with);
    };
    return make_handle(chosen.vmcoreinfo_text ? open(chosen) : open_searching(open), name);
  });
}

int kdumpkit_dump_clone(const kdumpkit_dump* dump, kdumpkit_dump** clone, kdumpkit_error** error) {
  if (clone != nullptr) *clone = nullptr;
  if (dump == nullptr) return store_argument(error, "the dump");
  return open_handle(clone, error, dump->file,
                     [&] { return new kdumpkit_dump(dump->opened.shared(), dump->file); });
}

void kdumpkit_dump_close(kdumpkit_dump* dump) {
  delete dump;
}

const kdumpkit_info* kdumpkit_dump_info(const kdumpkit_dump* dump) {
  return dump == nullptr ? nullptr : &dump->info;
}

int kdumpkit_dump_system(kdumpkit_dump* dump, kdumpkit_system** system, kdumpkit_error** error) {
  return make_result(dump, system, error, [&](Owned<kdumpkit_system>& out) {
    SystemInfo facts = system_from_dump(dump->opened.dump());
    complete_system(facts, dump->kernel(), dump->opened.log());
    Arena& arena = out.arena;
    out.release = arena.text(facts.release);
    out.version = arena.text(facts.version);
    out.machine = arena.text(facts.machine);
    out.hostname = arena.text(facts.hostname);
    out.command_line = arena.text(facts.command_line);
    out.taint = arena.text(facts.taint_letters);
    out.cpus_possible = known(facts.cpus_possible);
    out.cpus_online = known(facts.cpus_online);
    out.uptime_ns = known(facts.uptime_ns);
    out.boot_time = known(facts.boot_time);
    out.kaslr_offset = facts.kaslr_offset.value_or(0);
    const VaLayout va = facts.va.value_or(VaLayout{});
    out.va_bits = va.va_bits;
    out.kernel_start = va.kernel_start;
    out.page_offset = va.page_offset;
  });
}

void kdumpkit_system_free(kdumpkit_system* system) {
  free_owned(system);
}

const char* kdumpkit_dump_vmcoreinfo(const kdumpkit_dump* dump, const char* key) {
  if (dump == nullptr || key == nullptr) return nullptr;
  const Vmcoreinfo& info = dump->opened.dump().vmcoreinfo();
  if (info.empty()) return nullptr;
  if (*key == '\0') return info.text().c_str();
  const auto value = info.value(key);  // of a std::string: a zero follows
  return value ? value->data() : nullptr;
}
