// write_fake_machine DIR: healthy fake machines in DIR/root (arm64; root-4k, root-16k and root-64k by page
// size) and DIR/x86-root, armed with nothing, and inputs for them: DIR/Image, DIR/bzImage, DIR/initrd. For
// tests that run the program itself.
#include <cstdio>
#include <exception>

#include "tests/support/fake_machine.h"

int main(int argc, char** argv) {
  using namespace kdk::testing;
  if (argc != 2) return 2;
  try {
    std::filesystem::path directory = argv[1];
    FakeMachine().write(directory / "root");
    FakeMachine::x86_64().write(directory / "x86-root");
    FakeMachine::with_pages(4096).write(directory / "root-4k");
    FakeMachine::with_pages(16384).write(directory / "root-16k");
    FakeMachine::with_pages(65536).write(directory / "root-64k");
    write_test_file(directory / "Image", FakeImage().bytes());
    write_test_file(directory / "bzImage", FakeBzImage().bytes());
    write_test_file(directory / "initrd", gzip(fake_cpio({{"init", 100000}})));
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
