// kdumpkit-mkinitramfs: makes the initramfs of the crash kernel for this machine.
#include <fmt/format.h>
#include <sys/utsname.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "capture/initramfs/image.h"
#include "core/base/cli.h"
#include "core/base/log.h"

namespace {

using namespace kdk;
namespace fs = std::filesystem;

struct Options {
  std::string release, sysroot = "/";
  fs::path config = "/etc/kdumpkit.toml", output, tree;
  fs::path capture = "/usr/sbin/kdump-capture", init = "/usr/lib/kdumpkit/kdump-init";
  fs::path http_capture = "/usr/lib/kdumpkit/kdump-capture-http";
  bool dry_run = false, print_config = false, dump_directories = false, needs_network = false,
       verbose = false;
};

std::string running_release() {
  utsname name{};
  if (::uname(&name) != 0) throw error_from_errno(errno, "uname");
  return name.release;
}

// Whether the file holds these bytes already. Then it stays, and nobody who watches it loads it again.
bool holds(const fs::path& file, Bytes content) {
  std::error_code error;
  if (fs::file_size(file, error) != content.size() || error) return false;
  const std::vector<uint8_t> old = read_file(file, content.size() + 1);
  return std::equal(old.begin(), old.end(), content.begin(), content.end());
}

std::string describe(const Image& image) {
  return fmt::format(
      "{:.1f} MB packed, {:.1f} MiB unpacked, {:.1f} MiB of that {} modules{}{}",
      static_cast<double>(image.packed.size()) / 1e6, static_cast<double>(image.unpacked_bytes) / 0x100000,
      static_cast<double>(image.module_bytes) / 0x100000, image.modules.size(),
      image.firmware.empty() ? "" : fmt::format(" and {} files of firmware", image.firmware.size()),
      image.library_bytes == 0 ? ""
                               : fmt::format(", {:.1f} MiB programs with shared libraries",
                                             static_cast<double>(image.library_bytes) / 0x100000));
}

int print_directories(const SysRoot& root, const RunConfig& config) {
  for (const RunTarget& target : config.targets) {
    try {
      const fs::path directory = dump_directory(root, target);
      if (!directory.empty()) std::printf("%s\n", directory.c_str());
    } catch (const Error& e) {
      log_warning("{}: {}", target.describe(), e.message());  // a disk that is not connected now
    }
  }
  return exit_done;
}

int make(const Options& options) {
  const SysRoot root(options.sysroot);
  const RunConfig config = read_run_config(ConfigFile::read(options.config));
  if (options.dump_directories) return print_directories(root, config);
  if (options.needs_network) {
    const bool any =
        std::ranges::any_of(config.targets, [](const RunTarget& target) { return is_remote(target.kind); });
    return any ? exit_done : exit_failed;
  }
  ImageRequest request{options.release.empty() ? running_release() : options.release,
                       config,
                       options.capture,
                       options.init, options.tree,
                       options.http_capture};
  const Image image = build_image(root, request);
  for (const std::string& note : image.notes) log_warning("{}", note);
  if (options.print_config) {
    std::fputs(image.config.c_str(), stdout);
    return exit_done;
  }
  if (options.verbose) {
    for (const std::string& module : image.modules) std::printf("%s\n", module.c_str());
    for (const std::string& firmware : image.firmware) std::printf("firmware %s\n", firmware.c_str());
  }
  if (!options.tree.empty()) return exit_done;
  const fs::path output = options.output.empty() ? fs::path("/var/lib/kdumpkit") /
                                                       fmt::format("initramfs-{}.img", request.release)
                                                 : options.output;
  std::string_view what = "would be written";
  if (!options.dry_run) {
    std::error_code error;
    if (options.output.empty()) fs::create_directories(output.parent_path(), error);
    const bool same = holds(output, image.packed);
    if (!same) write_file_atomic(output, image.packed, 0600);
    what = same ? "is up to date" : "written";
  }
  std::printf("%s", fmt::format("{} {}: {}\n", output.string(), what, describe(image)).c_str());
  return exit_done;
}

int run(int argc, char** argv) {
  Options options;
  CLI::App app(
      "Makes the initramfs of the crash kernel: kdump-capture, its configuration, and the modules that lead "
      "to the "
      "configured targets on this machine.",
      "kdumpkit-mkinitramfs");
  app.set_version_flag("--version", KDK_VERSION);
  app.footer("Exit codes: 0 done, 1 failed and nothing written, 2 usage.");
  app.add_option("RELEASE", options.release, "Of the crash kernel; default: of the running one");
  app.add_option("-o,--output", options.output, "Default: /var/lib/kdumpkit/initramfs-RELEASE.img")
      ->type_name("FILE");
  app.add_option("--config", options.config, "The configuration")->type_name("FILE")->capture_default_str();
  app.add_flag("-n,--dry-run", options.dry_run, "Only say what would be written");
  app.add_flag("-v,--verbose", options.verbose, "List modules and firmware");
  app.add_flag("--print-config", options.print_config,
               "Print the configuration that goes in, and write nothing");
  app.add_flag("--dump-directories", options.dump_directories,
               "Print where the targets' dumps are now, and write nothing");
  app.add_flag("--needs-network", options.needs_network,
               "Exit code 0 when a target is over the network, 1 when none is; write nothing");
  app.add_option(
         "--tree", options.tree,
         "Write the files that would be in it below DIR instead: for dracut's and initramfs-tools' hooks")
      ->type_name("DIR")
      ->excludes("--output")
      ->excludes("--dry-run")
      ->excludes("--print-config");
  app.add_option("--capture", options.capture, "The static kdump-capture")
      ->type_name("FILE")
      ->capture_default_str();
  app.add_option("--http-capture", options.http_capture, "The kdump-capture with libcurl, for http targets")
      ->type_name("FILE")
      ->capture_default_str();
  app.add_option("--init", options.init, "The static kdump-init")->type_name("FILE")->capture_default_str();
  app.add_option("--sysroot", options.sysroot,
                 "Look at /proc, /sys, /dev/disk and /lib below DIR: a recorded machine")
      ->type_name("DIR");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? exit_done : exit_usage;
  }
  return make(options);
}

}  // namespace

int main(int argc, char** argv) {
  return kdk::run_main("kdumpkit-mkinitramfs", [&] { return run(argc, argv); });
}
