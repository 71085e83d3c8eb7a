// Replays a fuzz corpus without libFuzzer, so that every ordinary test run exercises every parser with bad input.
//
// Each corpus file is fed as it is, truncated at many points, and with bytes changed by a fixed-seed generator. Inputs
// live in exact-size heap buffers: with the asan preset one byte read too far is a failure. A seed that must stay fast
// keeps the total bounded: at most `runs_per_seed` variants each.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr int runs_per_seed = 400;

void run(const std::vector<uint8_t>& input) {
  std::unique_ptr<uint8_t[]> exact(new uint8_t[input.size()]);
  std::copy(input.begin(), input.end(), exact.get());
  LLVMFuzzerTestOneInput(exact.get(), input.size());
}

void run_variants(const std::vector<uint8_t>& seed) {
  run(seed);
  std::mt19937_64 random(seed.size());
  for (int i = 0; i < runs_per_seed; ++i) {
    std::vector<uint8_t> input = seed;
    if (i % 4 == 0) input.resize(random() % (seed.size() + 1));
    int changes = 1 + static_cast<int>(random() % 8);
    for (int c = 0; c < changes && !input.empty(); ++c) {
      // Headers decide the most: half of the changes go to the first 512 bytes.
      size_t span = random() % 2 == 0 ? std::min<size_t>(input.size(), 512) : input.size();
      size_t at = random() % span;
      switch (random() % 4) {
        case 0: input[at] = static_cast<uint8_t>(random()); break;
        case 1: input[at] = 0xff; break;
        case 2: input[at] = 0; break;
        default: input[at] ^= static_cast<uint8_t>(1u << (random() % 8)); break;
      }
    }
    run(input);
  }
}

}  // namespace

int main(int argc, char** argv) {
  size_t seeds = 0;
  for (int i = 1; i < argc; ++i) {
    std::vector<std::filesystem::path> files;
    if (std::filesystem::is_directory(argv[i])) {
      for (const auto& entry : std::filesystem::directory_iterator(argv[i])) files.push_back(entry.path());
      std::sort(files.begin(), files.end());
    } else {
      files.emplace_back(argv[i]);
    }
    for (const auto& file : files) {
      std::ifstream in(file, std::ios::binary);
      std::vector<uint8_t> seed((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
      run_variants(seed);
      ++seeds;
    }
  }
  run_variants({});
  std::printf("%zu corpus files, %d variants each\n", seeds, runs_per_seed);
  if (seeds == 0) {
    std::fprintf(stderr, "no corpus files: nothing was tested\n");
    return 1;
  }
  return 0;
}
