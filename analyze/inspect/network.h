// Network interfaces and internet sockets, by network namespace.
// Source: include/linux/netdevice.h, inetdevice.h, include/net/if_inet6.h, inet_hashtables.h, udp.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "analyze/inspect/sockets.h"
#include "core/kernel/typed_memory.h"

namespace kdk {

struct InterfaceAddress {
  bool six = false;
  std::string address;  // "192.0.2.1", "fe80::1"
  std::optional<uint64_t> prefix_bits;
};

struct Interface {
  uint64_t address = 0;  // struct net_device
  std::string name;      // escaped
  std::optional<int64_t> index, mtu;
  std::optional<uint64_t> flags;  // IFF_*
  std::string state;              // of operation: "up", "down", "unknown", ...; empty: not readable
  std::optional<bool> carrier;
  std::string hardware_address;  // "52:54:00:12:34:56"; empty: it has none
  std::string operations;        // symbol of its driver's operations; escaped
  std::vector<InterfaceAddress> addresses;
};

struct NetworkNamespace {
  uint64_t address = 0;  // struct net
  std::optional<uint64_t> inode;
  bool initial = false;
  std::vector<Interface> interfaces;
  std::vector<Socket> sockets;  // TCP and UDP, where they were asked for
};

struct Network {
  std::vector<NetworkNamespace> namespaces;
  bool with_sockets = false;
  std::vector<std::string> problems;
};

// Throws Error{missing} when there is no network to read.
Network read_network(TypedMemory& types, bool sockets);

// "UP,BROADCAST,MULTICAST".
std::string interface_flags(uint64_t flags);

}  // namespace kdk
