// The network in the crash kernel: one interface of the [[network]] of /etc/kdumpkit.toml brought up, by DHCP
// or with a fixed address. kdumpkit-mkinitramfs writes these tables as the running system has its network; an
// initramfs that brings a network of its own has none.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "capture/run/dhcp.h"
#include "core/config/config_file.h"

namespace kdk {

// "192.0.2.10/24", "2001:db8::10/64"
struct NetworkAddress {
  std::string address;
  unsigned prefix = 0;
  bool v6 = false;
};
std::optional<NetworkAddress> parse_network_address(std::string_view text);
bool is_ip_address(const std::string& text);
std::optional<MacAddress> parse_mac(std::string_view text);

enum class AddressMethod : uint8_t { automatic, dhcp, fixed };
std::string_view to_string(AddressMethod method);

struct NetworkConfig {
  std::string interface;  // its name in the running system; in the crash kernel udev has named nothing, and
                          // `mac` tells it
  std::optional<MacAddress> mac;
  AddressMethod method =
      AddressMethod::automatic;  // automatic: as the running system has it; kdumpkit-mkinitramfs knows
  // fixed: what it gets. dhcp: what it gets when nobody answers.
  std::vector<NetworkAddress> addresses;
  std::vector<std::string> gateways;  // addresses
  std::chrono::seconds wait{0};       // for a cable and for the answer, each
};

// Throws Error{format} "FILE:LINE: what".
NetworkConfig read_network(ConfigTable table);
std::string to_toml(const NetworkConfig& network);

// Once for all targets: an interface that has its address stays as it is. Throws Error that names the
// interface.
void bring_up(const NetworkConfig& network);

}  // namespace kdk
