// What a program with shared libraries needs: this test itself against ldd, and ELF files that lie.
#include <elf.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <regex>
#include <set>

#include "capture/initramfs/program_files.h"
#include "core/base/error.h"

namespace kdk {
namespace {

namespace fs = std::filesystem;

// The paths that ldd(1) names.
std::set<std::string> by_ldd(const fs::path& program) {
  std::set<std::string> out;
  const std::unique_ptr<FILE, decltype(&::pclose)> pipe(::popen(("ldd " + program.string()).c_str(), "r"),
                                                        &::pclose);
  std::array<char, 4096> line;
  const std::regex path(R"((/\S+) \(0x)");
  while (std::fgets(line.data(), line.size(), pipe.get()) != nullptr) {
    std::cmatch found;
    if (std::regex_search(line.data(), found, path)) out.insert(fs::path(found[1].str()).filename());
  }
  return out;
}

TEST(ProgramFiles, AsLddSays) {
  for (const fs::path& program : {fs::canonical("/proc/self/exe"), fs::path("/bin/bash")}) {
    std::set<std::string> ours;
    for (const ProgramFile& file : program_files(SysRoot("/"), program)) {
      EXPECT_TRUE(fs::is_regular_file(file.source)) << file.source;
      EXPECT_NE(file.target.front(), '/');
      if (!file.target.starts_with("libnss_") && file.target.find("/libnss_") == std::string::npos)
        ours.insert(fs::path(file.target).filename());
    }
    const std::set<std::string> theirs = by_ldd(program);
    if (theirs.empty()) GTEST_SKIP() << "no ldd here, or a sanitizer is in its way";
    EXPECT_EQ(ours, theirs);
  }
}

TEST(ProgramFiles, CutAnywhereItIsAnError) {
  const std::vector<uint8_t> whole = read_file("/bin/true");
  EXPECT_FALSE(elf_needs(whole, "true").interpreter.empty());
  for (const size_t length : {size_t{0}, size_t{10}, sizeof(Elf64_Ehdr), size_t{100}, size_t{600}}) {
    EXPECT_THROW((void)elf_needs(Bytes(whole).first(length), "cut"), Error) << length;
  }
  std::vector<uint8_t> odd = whole;
  Elf64_Ehdr header;
  std::memcpy(&header, odd.data(), sizeof header);
  header.e_phoff = UINT64_MAX - 8;
  std::memcpy(odd.data(), &header, sizeof header);
  EXPECT_THROW((void)elf_needs(odd, "odd"), Error);
}

TEST(ProgramFiles, WhereProgramsAre) {
  EXPECT_EQ(find_program(SysRoot("/"), "/bin/sh"), "/bin/sh");
  EXPECT_TRUE(fs::exists(find_program(SysRoot("/"), "true")));
  EXPECT_THROW((void)find_program(SysRoot("/"), "no-such-program"), Error);
  EXPECT_THROW((void)find_program(SysRoot("/"), "/no/such/program"), Error);
}

}  // namespace
}  // namespace kdk
