// A dump as input, and all that the C interface tells of it: whatever the dump holds, each call ends with a
// result or with an error, never with both, and no text is unsafe to print.
#include <kdumpkit/kdumpkit.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void check_text(const char* text) {
  require(text != nullptr);
  for (; *text != '\0'; ++text)
    require(*text == '\n' || *text == '\t' || static_cast<unsigned char>(*text) >= 0x20);
}

void check_texts(const kdumpkit_strings& texts) {
  for (size_t i = 0; i < texts.count; ++i) check_text(texts.items[i]);
}

void check_backtrace(const kdumpkit_backtrace& trace) {
  require(trace.count <= 256);
  check_text(trace.end);
  check_texts(trace.problems);
  for (size_t i = 0; i < trace.count; ++i) {
    check_text(trace.items[i]->symbol);
    check_text(trace.items[i]->module);
  }
}

// One call: f(result, error); `look` sees the result.
template <typename Result, typename Call, typename Look>
void ask(Call&& call, void (*release)(Result*), Look&& look) {
  Result* result = nullptr;
  kdumpkit_error* error = nullptr;
  const int code = call(&result, &error);
  require(code != KDUMPKIT_ERROR_INTERNAL && code != KDUMPKIT_ERROR_ARGUMENT);
  require((code == KDUMPKIT_OK) == (result != nullptr) && (code == KDUMPKIT_OK) == (error == nullptr));
  if (error != nullptr) {
    require(kdumpkit_error_code(error) == code && *kdumpkit_error_message(error) != '\0');
    check_text(kdumpkit_error_message(error));
  }
  if (result != nullptr) look(*result);
  release(result);
  kdumpkit_error_free(error);
}

void look_at(kdumpkit_dump* dump) {
  const kdumpkit_info* info = kdumpkit_dump_info(dump);
  check_text(info->release);
  check_texts(info->problems);
  uint64_t first = 0;
  ask<kdumpkit_pieces>([&](auto** r, auto** e) { return kdumpkit_dump_ram(dump, r, e); },
                       kdumpkit_pieces_free,
                       [&](const kdumpkit_pieces& ram) {
                         if (ram.count != 0) first = ram.items[0]->address;
                       });
  static unsigned char buffer[3 * 4096];
  for (const int space : {KDUMPKIT_PHYSICAL, KDUMPKIT_VIRTUAL}) {
    const uint64_t at = space == KDUMPKIT_PHYSICAL ? first : 0xffffffff81000000;
    ask<kdumpkit_pieces>(
        [&](auto** r, auto** e) {
          return kdumpkit_dump_read_pieces(dump, space, at + 100, buffer, sizeof buffer, r, e);
        },
        kdumpkit_pieces_free,
        [&](const kdumpkit_pieces& pieces) {
          uint64_t sum = 0;
          for (size_t i = 0; i < pieces.count; ++i) sum += pieces.items[i]->size;
          require(sum == sizeof buffer);
        });
  }
  ask<kdumpkit_system>([&](auto** r, auto** e) { return kdumpkit_dump_system(dump, r, e); },
                       kdumpkit_system_free,
                       [](const kdumpkit_system& system) { check_text(system.command_line); });
  ask<kdumpkit_log>([&](auto** r, auto** e) { return kdumpkit_dump_log(dump, r, e); }, kdumpkit_log_free,
                    [](const kdumpkit_log& log) {
                      for (size_t i = 0; i < log.count; ++i) check_text(log.items[i]->line);
                    });
  ask<kdumpkit_crash>([&](auto** r, auto** e) { return kdumpkit_dump_crash(dump, r, e); },
                      kdumpkit_crash_free,
                      [](const kdumpkit_crash& crash) {
                        check_text(crash.panic_message);
                        check_text(crash.json);
                        for (size_t i = 0; i < crash.cpu_count; ++i)
                          check_backtrace(*crash.cpus[i]->backtrace);
                      });
  ask<kdumpkit_tasks>([&](auto** r, auto** e) { return kdumpkit_dump_tasks(dump, r, e); },
                      kdumpkit_tasks_free,
                      [&](const kdumpkit_tasks& tasks) {
                        for (size_t i = 0; i < std::min<size_t>(tasks.count, 4); ++i) {
                          check_text(tasks.items[i]->comm);
                          ask<kdumpkit_backtrace>(
                              [&](auto** r, auto** e) {
                                return kdumpkit_dump_task_backtrace(dump, tasks.items[i]->address, r, e);
                              },
                              kdumpkit_backtrace_free, check_backtrace);
                        }
                      });
  ask<kdumpkit_modules>([&](auto** r, auto** e) { return kdumpkit_dump_modules(dump, r, e); },
                        kdumpkit_modules_free,
                        [](const kdumpkit_modules& modules) {
                          for (size_t i = 0; i < modules.count; ++i) check_text(modules.items[i]->name);
                        });
  ask<kdumpkit_type>([&](auto** r, auto** e) { return kdumpkit_dump_type(dump, "task_struct", r, e); },
                     kdumpkit_type_free,
                     [](const kdumpkit_type& type) {
                       for (size_t i = 0; i < type.member_count; ++i)
                         check_text(type.members[i]->declaration);
                     });
  kdumpkit_symbol symbol;
  if (kdumpkit_dump_symbol(dump, "panic", &symbol, nullptr) == KDUMPKIT_OK) {
    require(std::strcmp(symbol.name, "panic") == 0);
    ask<kdumpkit_walk>(
        [&](auto** r, auto** e) {
          return kdumpkit_dump_walk(dump, KDUMPKIT_KERNEL_TABLES, symbol.address, r, e);
        },
        kdumpkit_walk_free, [](const kdumpkit_walk& walk) { require(walk.count <= 5); });
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ask<kdumpkit_dump>([&](auto** r, auto** e) { return kdumpkit_dump_open_bytes(data, size, nullptr, r, e); },
                     kdumpkit_dump_close, [](kdumpkit_dump& dump) { look_at(&dump); });
  return 0;
}
