#include "loader/state/request.h"

#include <fcntl.h>
#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "core/base/sha256.h"

namespace kdk {
namespace {

BootSeeds random_seeds() {
  BootSeeds seeds;
  for (MutableBytes part : {MutableBytes(seeds.kaslr), MutableBytes(seeds.rng)}) {
    // Up to 256 bytes come whole (getrandom(2)).
    if (::getrandom(part.data(), part.size(), 0) != static_cast<ssize_t>(part.size())) {
      throw error_from_errno(errno, "getrandom");
    }
  }
  return seeds;
}

// Opens and reads a file; `fd` stays open on the very file that was read.
InputFile read_input(const std::string& path, uint64_t limit, Fd& fd) {
  fd = Fd::open(path, O_RDONLY);
  return {path, read_file(fd, path, limit)};
}

void zero_all(std::vector<uint8_t>& data, Bytes secret) {
  auto from = data.begin();
  while ((from = std::search(from, data.end(), secret.begin(), secret.end())) != data.end()) {
    from = std::fill_n(from, secret.size(), uint8_t{0});
  }
}

}  // namespace

std::vector<SegmentIdentity> identify_segments(const LoadPlan& plan, const BootSeeds& seeds) {
  std::vector<SegmentIdentity> identities;
  for (const Segment& segment : plan.segments) {
    // The two big ones are files, which never hold our seeds.
    bool is_file = segment.name == "kernel" || segment.name == "initrd";
    std::vector<uint8_t> copy = is_file ? std::vector<uint8_t>() : segment.data;
    zero_all(copy, seeds.kaslr);
    zero_all(copy, seeds.rng);
    if (segment.name == "purgatory")
      copy = purgatory::without_digests(*plan.architecture->digest.code, std::move(copy));
    identities.push_back({segment.name, segment.memory, sha256_hex(is_file ? segment.data : copy)});
  }
  for (const ExpectedSegment& segment : plan.expected) {
    identities.push_back({segment.name, segment.memory, ""});
  }
  return identities;
}

UnifiedExtras take_extras(const std::string& path, Bytes file, bool initrd, bool command_line) {
  if (!initrd && !command_line) return {};
  return with_context(path, [&] {
    UnifiedExtras extras = read_unified_extras(file);
    if (!initrd) extras.initrd.clear();
    if (!command_line) extras.command_line.clear();
    if (initrd && extras.initrd.empty()) {
      throw Error(Errc::missing, "this unified kernel image has no initramfs (section .initrd)")
          .with_hint("give one with --initrd");
    }
    if (command_line && extras.command_line.empty()) {
      throw Error(Errc::missing, "this unified kernel image has no command line (section .cmdline)")
          .with_hint("give one with --command-line, or let the running kernel's be reused");
    }
    return extras;
  });
}

PreparedLoad prepare_load(const Machine& machine, const LoadRequest& request) {
  PreparedLoad load;
  load.request = request;
  for (std::string* path : {&load.request.kernel, &load.request.initrd, &load.request.dtb}) {
    if (!path->empty()) *path = std::filesystem::absolute(*path);
  }
  LoadInputs inputs;
  inputs.kernel = read_input(request.kernel, max_kernel_file, load.files.kernel);
  if (!request.initrd.empty()) {
    inputs.initrd = read_input(request.initrd, max_initrd_file, load.files.initrd);
    if (inputs.initrd->bytes.empty()) throw Error(Errc::format, request.initrd + ": the file is empty");
  }
  if (!request.dtb.empty()) {
    inputs.dtb = InputFile{request.dtb, read_file(request.dtb, max_dtb_size)};
    load.dtb = identify(request.dtb, inputs.dtb->bytes);
  }
  inputs.command_line = {request.command_line, request.append, request.add_defaults};
  UnifiedExtras extras =
      take_extras(request.kernel, inputs.kernel.bytes, request.uki_initrd, request.uki_command_line);
  if (request.uki_initrd) inputs.initrd = InputFile{request.kernel, std::move(extras.initrd), ".initrd"};
  if (request.uki_command_line) inputs.command_line.unified = std::move(extras.command_line);
  inputs.call = request.call;
  inputs.digest = request.digest;
  BootSeeds seeds = inputs.seeds = random_seeds();
  load.plan = make_plan(machine, std::move(inputs));
  load.segments = identify_segments(load.plan, seeds);
  return load;
}

}  // namespace kdk
