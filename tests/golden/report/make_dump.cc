// Writes the dump of one golden case: make_dump CASE FILE.
#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/cli.h"
#include "core/base/file.h"
#include "tests/support/crash_scene.h"

namespace {

using namespace kdk;
using kdk::test::Scene;
using kdk::test::SceneOptions;

using Bytes8 = std::vector<uint8_t>;

Bytes8 scene(const SceneOptions& options) {
  return Scene(options).machine->elf();
}

// A dump as a hypervisor writes it: the notes have registers, but VMCOREINFO is not among them.
Bytes8 without_vmcoreinfo() {
  Bytes8 file = scene({});
  constexpr std::string_view name = "VMCOREINFO";
  auto at = std::search(file.begin(), file.end(), name.begin(), name.end());
  if (at == file.end()) throw Error(Errc::missing, "the dump has no VMCOREINFO note");
  *at = 'X';
  return file;
}

Bytes8 broken_list() {
  Scene s;
  s.machine->put_u64(s.blocked_task + Scene::tasks_offset, 0x1234);
  return s.machine->elf();
}

// The page of a task left out on purpose, as a dump level can do: not damage.
Bytes8 excluded_page() {
  Scene s;
  s.machine->exclude(s.machine->pfn_of(s.machine->phys(s.blocked_task)));
  return s.machine->kdump();
}

Bytes8 truncated() {
  Bytes8 file = scene({});
  file.resize(file.size() * 9 / 10);
  return file;
}

const std::map<std::string, std::function<Bytes8()>, std::less<>> cases = {
    {"sysrq", [] { return scene({}); }},
    {"oops-16k", [] { return scene({.machine = {.page_size = 16384, .va_bits = 47}, .oops = true}); }},
    {"sysrq-x86-64", [] { return scene({.machine = {.x86_64 = kdk::test::X86_64Options{}}}); }},
    {"oops-x86-64",
     [] { return scene({.machine = {.x86_64 = kdk::test::X86_64Options{.levels = 5}}, .oops = true}); }},
    {"text-symbols", [] { return Scene({.data_symbols = false}).machine->kdump(); }},
    {"hostile", [] { return scene({.hostile_names = true}); }},
    {"no-vmcoreinfo", without_vmcoreinfo},
    {"broken-list", broken_list},
    {"excluded-page", excluded_page},
    {"truncated", truncated},
};

}  // namespace

int main(int argc, char** argv) {
  return kdk::run_main("make_dump", [&] {
    auto found = argc == 3 ? cases.find(std::string_view(argv[1])) : cases.end();
    if (found == cases.end()) {
      std::fputs("usage: make_dump CASE FILE\n", stderr);
      return int{exit_usage};
    }
    write_file_atomic(argv[2], found->second());
    return int{exit_done};
  });
}
