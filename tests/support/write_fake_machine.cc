// write_fake_machine DIR: a healthy fake machine in DIR/root, armed with nothing, and inputs for it: DIR/Image,
// DIR/initrd. For tests that run the program itself.
#include <cstdio>
#include <exception>

#include "tests/support/fake_machine.h"

int main(int argc, char** argv) {
  using namespace kdk::testing;
  if (argc != 2) return 2;
  try {
    std::filesystem::path directory = argv[1];
    FakeMachine().write(directory / "root");
    write_test_file(directory / "Image", FakeImage().bytes());
    write_test_file(directory / "initrd", gzip(fake_cpio({{"init", 100000}})));
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
