// Runs the purgatory's committed code in this process and compares it with published digests and with our
// other SHA-256. Built by run_code.py for each architecture; arm64 runs under qemu-user. With --bench MIB it
// prints how fast the two ways are instead.
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "core/base/sha256.h"
#include "core/base/sha256_constants.h"
#include "loader/purgatory/code.h"
#include "loader/purgatory/parameters.h"

namespace {

using namespace kdk;
using purgatory::CheckedRange;
using purgatory::Parameters;
using Compress = void (*)(uint32_t*, const uint8_t*, uint64_t);

#ifdef __aarch64__
const purgatory::Code code = purgatory::arm64_code;
#else
const purgatory::Code code = purgatory::x86_64_code;
#endif

int failures = 0;
void expect(bool good, const std::string& what) {
  if (good) return;
  std::printf("FAILED: %s\n", what.c_str());
  ++failures;
}

struct Purgatory {
  uint64_t (*check)(const Parameters*);
  Compress compress;
  Compress compress_fast;
  uint64_t (*has_instructions)();
};

Purgatory map_code() {
  void* memory =
      ::mmap(nullptr, code.size_bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  std::memcpy(memory, code.data(), code.size_bytes());
  if (::mprotect(memory, code.size_bytes(), PROT_READ | PROT_EXEC) != 0) std::abort();
  auto* start = static_cast<char*>(memory);
  __builtin___clear_cache(start, start + code.size_bytes());
  purgatory::EntryTable table;
  std::memcpy(&table, start + purgatory::entry_table_at, sizeof(table));
  return {reinterpret_cast<uint64_t (*)(const Parameters*)>(start + table.check),
          reinterpret_cast<Compress>(start + table.compress),
          reinterpret_cast<Compress>(start + table.compress_fast),
          reinterpret_cast<uint64_t (*)()>(start + table.has_instructions)};
}

CheckedRange range_of(const std::vector<uint8_t>& data, const Sha256::Digest& digest) {
  CheckedRange range{reinterpret_cast<uint64_t>(data.data()), data.size(), {}, "data"};
  std::copy(digest.begin(), digest.end(), range.sha256);
  return range;
}

Sha256::Digest sha256(const std::vector<uint8_t>& data) {
  Sha256 sum;
  sum.add(data);
  return sum.digest();
}

Sha256::Digest from_hex(const std::string& hex) {
  Sha256::Digest digest{};
  for (size_t i = 0; i < digest.size(); ++i)
    digest[i] = static_cast<uint8_t>(std::stoul(hex.substr(2 * i, 2), nullptr, 16));
  return digest;
}

std::vector<uint8_t> pattern(size_t size) {
  std::vector<uint8_t> data(size);
  uint32_t state = 12345;
  for (uint8_t& byte : data) byte = static_cast<uint8_t>((state = state * 1664525 + 1013904223) >> 24);
  return data;
}

// FIPS 180-4's own examples (csrc.nist.gov, "SHA256.pdf"), and a million times "a".
void test_published(const Purgatory& code_here) {
  std::string long_text = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
  std::pair<std::string, std::string> known[] = {
      {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {long_text, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
      {std::string(1000000, 'a'), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"}};
  for (const auto& [text, hex] : known) {
    std::vector<uint8_t> data(text.begin(), text.end());
    Parameters parameters{};
    parameters.range_count = 1;
    parameters.ranges[0] = range_of(data, from_hex(hex));
    expect(code_here.check(&parameters) == 0, "digest of \"" + text.substr(0, 60) + "\"");
  }
}

// Every length around the borders of a block, and every byte of a short range changed in turn.
void test_lengths_and_changes(const Purgatory& code_here) {
  for (size_t size = 0; size < 260; ++size) {
    std::vector<uint8_t> data = pattern(size);
    Parameters parameters{};
    parameters.range_count = 1;
    parameters.ranges[0] = range_of(data, sha256(data));
    expect(code_here.check(&parameters) == 0, std::to_string(size) + " bytes");
    for (uint8_t& byte : data) {
      byte ^= 0x10;
      expect(code_here.check(&parameters) == 1, std::to_string(size) + " bytes, one changed");
      byte ^= 0x10;
    }
    for (uint8_t& byte : parameters.ranges[0].sha256) {
      byte ^= 1;
      expect(code_here.check(&parameters) == 1, "a changed digest");
      byte ^= 1;
    }
  }
}

// All ranges are looked at, and the first bad one is named.
void test_many_ranges(const Purgatory& code_here) {
  std::vector<std::vector<uint8_t>> all;
  Parameters parameters{};
  for (uint64_t i = 0; i < purgatory::max_ranges; ++i) {
    all.push_back(pattern(100 * i));
    parameters.ranges[i] = range_of(all[i], sha256(all[i]));
  }
  parameters.range_count = purgatory::max_ranges;
  expect(code_here.check(&parameters) == 0, "fifteen ranges");
  for (uint64_t i = 1; i < purgatory::max_ranges; ++i) {
    all[i].back() ^= 1;
    expect(code_here.check(&parameters) == i + 1, "range " + std::to_string(i) + " of fifteen");
    all[i].back() ^= 1;
  }
  parameters.range_count = 0;
  expect(code_here.check(&parameters) == 0, "no range");
}

// The way this CPU does not take by itself is as right as the other.
void test_both_ways(const Purgatory& code_here) {
  bool fast = code_here.has_instructions() != 0;
  std::printf("this CPU has SHA-256 instructions: %s\n", fast ? "yes" : "no");
  for (uint64_t blocks : {1, 2, 3, 1000}) {
    std::vector<uint8_t> data = pattern(64 * blocks);
    auto expected = sha256_initial_state, now = expected;
    code_here.compress(now.data(), data.data(), blocks);
    Sha256 sum;
    sum.add(data);
    // From the state before the padding to the digest takes one more block, of known content.
    std::vector<uint8_t> padding(64);
    padding[0] = 0x80;
    store(padding, 56, ub64(data.size() * 8));
    auto whole = now;
    code_here.compress(whole.data(), padding.data(), 1);
    Sha256::Digest digest{};
    for (size_t i = 0; i < 8; ++i) store(digest, 4 * i, ub32(whole[i]));
    expect(digest == sum.digest(), "plain code, blocks: " + std::to_string(blocks));
    if (!fast) continue;
    code_here.compress_fast(expected.data(), data.data(), blocks);
    expect(expected == now, "instructions, blocks: " + std::to_string(blocks));
  }
}

double cpu_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

// Of CPU time, the best of five: other programs run, too.
double megabytes_per_second(Compress compress, size_t mib) {
  std::vector<uint8_t> data = pattern(mib << 20);
  double best = 0;
  for (int round = 0; round < 5; ++round) {
    auto state = sha256_initial_state;
    double start = cpu_seconds();
    compress(state.data(), data.data(), data.size() / 64);
    best = std::max(best, static_cast<double>(data.size()) / 1e6 / (cpu_seconds() - start));
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  Purgatory code_here = map_code();
  if (argc == 3 && std::string(argv[1]) == "--bench") {
    size_t mib = std::stoul(argv[2]);
    std::printf("plain %.0f\n", megabytes_per_second(code_here.compress, mib));
    if (code_here.has_instructions() != 0)
      std::printf("instructions %.0f\n", megabytes_per_second(code_here.compress_fast, mib));
    return 0;
  }
  test_published(code_here);
  test_lengths_and_changes(code_here);
  test_many_ranges(code_here);
  test_both_ways(code_here);
  if (failures == 0) std::printf("all good\n");
  return failures == 0 ? 0 : 1;
}
