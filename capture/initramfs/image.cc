#include "capture/initramfs/image.h"

#include <elf.h>
#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "capture/crypt/keys.h"
#include "capture/initramfs/cpio.h"
#include "capture/initramfs/device_chain.h"
#include "capture/initramfs/kernel_modules.h"
#include "capture/initramfs/program_files.h"
#include "capture/scrub/rules.h"
#include "core/base/error.h"
#include "core/formats/unpack_module.h"

namespace kdk {
namespace {

namespace fs = std::filesystem;

std::vector<uint8_t> gzip(Bytes data) {
  z_stream stream{};
  // 15 + 16: a gzip header, which zlib writes without a time.
  if (deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) throw std::bad_alloc();
  std::vector<uint8_t> out(deflateBound(&stream, data.size()));
  stream.next_in = const_cast<uint8_t*>(data.data());  // zlib's interface is older than const
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  const int result = deflate(&stream, Z_FINISH);
  out.resize(out.size() - stream.avail_out);
  (void)deflateEnd(&stream);
  if (result != Z_STREAM_END) throw Error(Errc::io, "gzip: zlib could not pack the archive");
  return out;
}

// A program that needs a loader or libraries would not even start in there.
std::vector<uint8_t> static_program(const fs::path& path) {
  std::vector<uint8_t> out = read_file(path);
  const auto bad = [&](std::string_view why) {
    return Error(Errc::unsupported, fmt::format("{}: {}", path.string(), why))
        .with_hint("it must be the static build, as the package kdumpkit-capture has it");
  };
  if (out.size() < sizeof(Elf64_Ehdr) || std::memcmp(out.data(), ELFMAG, SELFMAG) != 0 ||
      out[EI_CLASS] != ELFCLASS64) {
    throw bad("is no 64-bit ELF program");
  }
  Elf64_Ehdr header;
  std::memcpy(&header, out.data(), sizeof header);
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    const uint64_t at = header.e_phoff + uint64_t{i} * header.e_phentsize;
    if (at > out.size() || out.size() - at < sizeof(Elf64_Phdr)) throw bad("its program headers are cut off");
    Elf64_Phdr program;
    std::memcpy(&program, out.data() + at, sizeof program);
    if (program.p_type == PT_INTERP) throw bad("is linked with shared libraries");
  }
  return out;
}

class Builder {
 public:
  Builder(const SysRoot& root, const ImageRequest& request)
      : root_(root), request_(request), kernel_(root, request.release) {}

  Image build() {
    const CrashConfig crash = crash_config(root_, request_.config);
    for (const CrashTarget& target : crash.targets) {
      with_context(target.target.describe(), [&] {
        if (!target.device.name.empty()) drivers(device_chain(root_, target.device));
        if (target.target.kind == TargetKind::mount) file_system(target.target.file_system);
        if (target.target.kind == TargetKind::nfs) nfs();
        return 0;
      });
    }
    for (const NetworkConfig& network : crash.config.networks) {
      with_context("network interface " + network.interface, [&] {
        drivers(device_chain(root_, root_.path("/sys/class/net/" + network.interface)));
        if (std::ranges::any_of(network.addresses, &NetworkAddress::v6)) (void)kernel_.add("ipv6", files_);
        return 0;
      });
    }
    if (request_.config.watchdog != "none") watchdog();

    image_.config = to_toml(crash.config);
    const bool whole = request_.tree.empty();
    if (whole)
      for (const char* directory : {"dev", "proc", "run", "sys", "tmp"}) archive_.add_directory(directory);
    archive_.add_file(whole ? "init" : "bin/kdump-init", static_program(request_.init), 0755);
    const bool has_http = std::ranges::find(crash.config.targets, TargetKind::http, &RunTarget::kind) !=
                          crash.config.targets.end();
    if (!has_http) archive_.add_file("bin/kdump-capture", static_program(request_.capture), 0755);
    archive_.add_file("etc/kdumpkit.toml", as_bytes(image_.config));
    add_named_files(crash.config);
    if (!crash.hosts.empty()) add_names(crash.hosts);
    const uint64_t own = archive_.unpacked_bytes();
    if (has_http) add_http();
    for (const RunTarget& target : crash.config.targets)
      if (target.kind == TargetKind::ssh) with_context(target.describe(), [&] { add_ssh(target.command); });
    const uint64_t programs = archive_.unpacked_bytes();
    image_.library_bytes = programs - own;
    add_modules();
    image_.unpacked_bytes = archive_.unpacked_bytes();
    image_.module_bytes = image_.unpacked_bytes - programs;
    if (whole) {
      image_.packed = gzip(archive_.bytes());
    } else {
      archive_.write_below(request_.tree);
    }
    return std::move(image_);
  }

 private:
  // What the configuration names goes in under the same name. A mistake in it would be found when it is too
  // late.
  void add_named_files(const RunConfig& config) {
    const auto add = [&](const fs::path& path) {
      archive_.add_file(path.relative_path().string(), read_file(root_.path(path.string()), 1 << 20));
    };
    if (config.scrub) {
      (void)read_scrub_rules(root_.path(config.scrub->string()));
      add(*config.scrub);
    }
    for (const RunTarget& target : config.targets) {
      if (target.authority) add(*target.authority);
      if (target.credentials) add(*target.credentials);
      if (!target.encrypt_to) continue;
      (void)read_public_key(root_.path(target.encrypt_to->string()));
      add(*target.encrypt_to);
    }
  }

  // Who asks for a name or for the user gets it from a file.
  void add_names(const std::vector<std::pair<std::string, std::string>>& hosts) {
    std::string text = "127.0.0.1 localhost\n::1 localhost\n";
    for (const auto& [name, address] : hosts)
      if (name != address) text += address + " " + name + "\n";
    archive_.add_file("etc/hosts", as_bytes(text));
    archive_.add_file("etc/nsswitch.conf",
                      as_bytes(std::string_view("passwd: files\ngroup: files\nhosts: files\n")));
    archive_.add_file("etc/passwd", as_bytes(std::string_view("root:x:0:0:root:/root:/bin/false\n")));
    archive_.add_directory("root");
  }

  void add_with_libraries(const SysRoot& root, const fs::path& program, const std::string& target) {
    archive_.add_file(target, read_file(root.path(program.string())), 0755);
    for (const ProgramFile& file : program_files(root, program))
      archive_.add_file(file.target, read_file(file.source), 0755);
  }

  // libcurl looks for certificates where the distribution has them.
  void add_http() {
    std::error_code error;
    if (!fs::exists(request_.http_capture, error)) {
      throw Error(Errc::missing, fmt::format("{}: http targets need a kdump-capture with libcurl",
                                             request_.http_capture.string()))
          .with_hint("install the package kdumpkit-capture-http");
    }
    // Not below the root: it is ours, as the static one is.
    add_with_libraries(SysRoot("/"), fs::absolute(request_.http_capture), "bin/kdump-capture");
    for (const char* file : {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"})
      if (root_.exists(file)) archive_.add_file(std::string(file).substr(1), read_file(root_.path(file)));
  }

  // The client, and what its options name: keys, known hosts ("-i FILE", "-o UserKnownHostsFile=FILE").
  void add_ssh(const std::vector<std::string>& command) {
    const fs::path program = find_program(root_, command.front());
    const bool has_path = command.front().starts_with('/');
    add_with_libraries(root_, program,
                       has_path ? program.relative_path().string() : "bin/" + command.front());
    for (size_t i = 1; i < command.size(); ++i) {
      const std::string& word = command[i];
      const size_t equals = word.find('=');
      const std::string name =
          word.starts_with('/') || equals == std::string::npos ? word : word.substr(equals + 1);
      if (!name.starts_with('/') || name.starts_with("/dev/")) continue;
      // ssh refuses a key that others can read.
      archive_.add_file(name.substr(1), read_file(root_.path(name), 1 << 20), 0600);
    }
  }

  // Nobody loads a module there when the kernel asks for one.
  void nfs() {
    file_system("nfs4");
    (void)kernel_.add("nfsv4", files_);
  }

  // Each by the module that runs it now; where the crash kernel has no such module, by what the device asks
  // for.
  void drivers(const std::vector<ChainDevice>& chain) {
    for (const ChainDevice& device : chain) {
      if (device.module.empty()) {
        // Built into the running kernel. Another one may have it as a module.
        if (!device.alias.empty()) (void)kernel_.add_alias(device.alias, files_);
        continue;
      }
      if (kernel_.add(device.module, files_) ||
          (!device.alias.empty() && kernel_.add_alias(device.alias, files_)))
        continue;
      throw Error(Errc::missing, fmt::format("kernel {} has no driver {} for {}", request_.release,
                                             device.module, device.path.filename().string()))
          .with_hint("use a kernel that has it, or another target");
    }
  }

  void file_system(const std::string& type) {
    if (kernel_.add("fs-" + type, files_) || kernel_.add_alias("fs-" + type, files_) ||
        kernel_.add(type, files_))
      return;
    throw Error(Errc::missing, fmt::format("kernel {} has no file system {}", request_.release, type))
        .with_hint("use a kernel that has it, or another target");
  }

  // The driver of each watchdog that somebody feeds now: in the crash kernel nobody would, and it resets the
  // machine.
  void watchdog() {
    std::error_code error;
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(root_.path("/sys/class/watchdog"), error))
      found.push_back(entry.path());
    std::ranges::sort(found);
    for (const fs::path& device : found) {
      // The file is there only with CONFIG_WATCHDOG_SYSFS.
      if (fs::exists(device / "state", error) && !read_text_file(device / "state", 64).starts_with("active"))
        continue;
      try {
        drivers(device_chain(root_, device));
      } catch (const Error& e) {
        image_.notes.push_back(fmt::format("watchdog {}: {}", device.filename().string(), e.message()));
      }
    }
  }

  void add_modules() {
    std::string order;
    for (const std::string& file : files_) {
      const fs::path path = kernel_.directory() / file;
      const std::vector<uint8_t> module = unpack_module(read_file(path, uint64_t{256} << 20), path.string());
      std::string name = fs::path(file).filename().string();
      name = name.substr(0, name.find(".ko")) + ".ko";
      archive_.add_file("modules/" + name, module);
      order += name + "\n";
      image_.modules.push_back(std::move(name));
      for (const std::string& firmware : module_info(module, "firmware")) add_firmware(firmware);
    }
    archive_.add_file("modules/order", as_bytes(order));
  }

  // What is installed of the firmware a module may ask for; /lib/firmware/RELEASE comes before /lib/firmware.
  void add_firmware(const std::string& name) {
    const fs::path relative = fs::path(name).lexically_normal();
    if (relative.is_absolute() || relative.empty() || *relative.begin() == "..") return;
    for (const std::string& directory : {"/lib/firmware/" + request_.release, std::string("/lib/firmware")}) {
      for (const char* packed : {"", ".xz", ".zst"}) {
        const fs::path file = root_.path(directory) / (relative.string() + packed);
        std::error_code error;
        if (!fs::is_regular_file(file, error)) continue;
        archive_.add_file("lib/firmware/" + relative.string() + packed, read_file(file));
        image_.firmware.push_back(relative.string());
        return;
      }
    }
  }

  const SysRoot& root_;
  const ImageRequest& request_;
  const KernelModules kernel_;
  KernelModules::List files_;
  CpioArchive archive_;
  Image image_;
};

}  // namespace

Image build_image(const SysRoot& root, const ImageRequest& request) {
  return Builder(root, request).build();
}

}  // namespace kdk
