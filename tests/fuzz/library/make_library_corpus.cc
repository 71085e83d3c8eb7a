// Writes the seeds of fuzz_library: whole crashed machines, small ones.
#include <cstdio>
#include <filesystem>

#include "core/base/file.h"
#include "tests/support/crash_scene.h"

using namespace kdk;
using namespace kdk::test;

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_library_corpus DIRECTORY\n");
    return 2;
  }
  const std::filesystem::path root = argv[1];
  std::filesystem::create_directories(root);
  const MachineOptions arm64{.ram = {{uint64_t{1} << 30, uint64_t{8} << 20}},
                             .image_size = uint64_t{2} << 20};
  MachineOptions x86_64 = arm64;
  x86_64.ram = {{0, uint64_t{8} << 20}};
  x86_64.x86_64 = X86_64Options{};
  write_file_atomic(root / "arm64", Scene({.machine = arm64}).machine->kdump());
  write_file_atomic(root / "x86_64", Scene({.machine = x86_64, .oops = true}).machine->kdump(Codec::none));
  return 0;
}
