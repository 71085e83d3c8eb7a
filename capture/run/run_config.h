// What `kdump-capture run` is told by /etc/kdumpkit.toml: the sections [capture], [run], [[target]] and [[network]].
// etc/kdumpkit.toml is the commented example.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "capture/progress.h"
#include "capture/run/network.h"
#include "core/config/config_file.h"
#include "core/formats/codec.h"

namespace kdk {

enum class TargetKind : uint8_t { directory, mount, nfs, raw, ssh, http };
std::string_view to_string(TargetKind kind);
// Whether the crash kernel needs a network for it.
bool is_remote(TargetKind kind);
// Whether the dump goes there as a flattened stream, which cannot be begun again with the next level.
bool is_stream(TargetKind kind);

// One [[target]]. Which members count depends on the kind.
struct RunTarget {
  TargetKind kind = TargetKind::directory;
  std::filesystem::path path;  // directory: where dumps go; mount, nfs: below the mount; ssh: on the server
  std::string device;          // mount, raw: /dev/..., LABEL=, UUID=, PARTLABEL=, PARTUUID=
  std::string file_system;     // mount: its type; empty: found by looking
  std::string options;         // mount, nfs: as mount(8) has them
  std::string server;          // nfs: an address, or a name that kdumpkit-mkinitramfs looks up; ssh: user@host
  std::string exported;        // nfs: the exported path
  std::vector<std::string> command;                  // ssh: the client and its options
  std::string url;                                   // http: what the names of the files are added to
  std::optional<std::filesystem::path> credentials;  // http: a file that holds USER:SECRET
  std::optional<std::filesystem::path> authority;    // http: certificates to trust
  std::string s3_region;                             // http: sign as S3 wants it
  uint64_t part_bytes = 0;                           // http: of each piece of the dump
  unsigned tries = 0;                                // http: of each piece
  std::optional<std::filesystem::path> encrypt_to;   // a public key: all that goes there is sealed to it
  std::chrono::seconds wait{0};                      // for the device, the network
  uint64_t max_bytes = 0;                            // of the dump; 0: no limit
  // directory, mount, nfs: how many dumps, and how many bytes of them, may stay; 0: any.
  unsigned keep = 0;
  uint64_t keep_bytes = 0;

  // For people: "ssh user@host:/srv/crash".
  std::string describe() const;
};

enum class FinalAction : uint8_t { none, reboot, poweroff, halt, shell };
std::string_view to_string(FinalAction action);
std::optional<FinalAction> parse_final_action(std::string_view name);

struct RunConfig {
  std::vector<unsigned> levels = {31};  // the next one when a dump does not fit; at least one
  Codec codec = Codec::zstd;
  int codec_level = 0;
  unsigned threads = 0;
  ProgressMode progress = ProgressMode::automatic;
  std::optional<std::filesystem::path> scrub;  // as SaveOptions has them
  bool scrub_strict = false;

  unsigned console_lines = 0;  // of the kernel log, printed on the console
  std::chrono::seconds prepare_deadline{0}, log_deadline{0}, summary_deadline{0}, dump_deadline{0};
  std::chrono::seconds total_deadline{0}, stall{0};
  std::string watchdog;  // "auto", "none" or a device
  std::chrono::seconds watchdog_timeout{0};
  FinalAction final_action = FinalAction::reboot, failure_action = FinalAction::reboot;
  std::vector<RunTarget> targets;       // at least one
  std::vector<NetworkConfig> networks;  // none: the initramfs has a network of its own, or needs none
};

// Throws Error{format} "FILE:LINE: what" for anything that is not right.
RunConfig read_run_config(const ConfigFile& file);

}  // namespace kdk
