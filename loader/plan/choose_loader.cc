#include "loader/plan/choose_loader.h"

#include <fmt/format.h>

#include <algorithm>

#include "loader/machine/machine.h"

namespace kdk {
namespace {

const Loader* find_loader(const Architecture& architecture, LoadCall call) {
  auto found = std::find_if(architecture.loaders.begin(), architecture.loaders.end(),
                            [&](const Loader& loader) { return loader.call == call; });
  return found == architecture.loaders.end() ? nullptr : &*found;
}

}  // namespace

LoaderChoice choose_loader(const Machine& machine, std::optional<LoadCall> wanted, bool own_tree) {
  const Architecture& architecture = *machine.architecture;
  if (wanted) {
    const Loader* loader = find_loader(architecture, *wanted);
    if (loader != nullptr) return {loader, "asked for"};
    throw Error(Errc::unsupported,
                fmt::format("{} is not supported for {}", to_string(*wanted), architecture.name))
        .with_hint("use --syscall auto");
  }
  const Loader& usual = architecture.loaders.front();
  const Loader* by_files = find_loader(architecture, LoadCall::kexec_file_load);
  const Loader* by_segments = find_loader(architecture, LoadCall::kexec_load);
  if (by_files == nullptr || by_segments == nullptr)
    return {&usual, fmt::format("the way {} crash kernels are loaded", architecture.name)};
  if (machine.has_file_load == false) return {by_segments, "this kernel is built without kexec_file_load"};
  if (!machine.has_file_load && usual.call == LoadCall::kexec_load)
    return {by_segments, fmt::format("the way {} crash kernels are loaded", architecture.name)};
  if (machine.locked_down())
    return {by_files, fmt::format("lockdown is \"{}\": the other call is refused", machine.lockdown)};
  if (own_tree) return {by_segments, "kexec_file_load takes no device tree"};
  return {by_files, "the kernel can verify the file's signature"};
}

}  // namespace kdk
