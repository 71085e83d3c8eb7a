// The way from this machine to a target's server: which name is which address, which interface leads there,
// and how that interface has its own address. What the running system has is what the crash kernel is told.
// Source: Documentation/networking/proc_net_tcp.rst's neighbours in net/ipv4/fib_trie.c and net/ipv6/route.c
// (the formats of /proc/net/route and /proc/net/ipv6_route), rtnetlink(7).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "capture/run/network.h"
#include "capture/run/run_config.h"
#include "core/base/file.h"

namespace kdk {

// The host part of a remote target: a name or an address. Throws Error{format} for a URL without one.
std::string server_of(const RunTarget& target);

// An address is itself. A name is asked for now, in the running system; what it is told goes into the image.
std::string look_up(const std::string& server);

struct Route {
  std::string interface, gateway;  // gateway: empty when the network is this one's own
  NetworkAddress network;
};
// Both throw Error{format} for what is not such a file; lines that reject or are down are left out.
std::vector<Route> parse_routes_v4(std::string_view text);
std::vector<Route> parse_routes_v6(std::string_view text);
// The longest prefix that holds the address; the first of equal ones. nullptr: there is none.
const Route* route_to(const std::vector<Route>& routes, const std::string& address);

std::vector<Route> read_routes(const SysRoot& root);

// `wanted` with what the running system knows: the interface's MAC address and, with method = "auto", its
// addresses and gateways. An address that was leased is asked for again in the crash kernel. Of a bridge with
// one port it is the port's interface. Throws Error for one that is put together by software.
NetworkConfig crash_network(const SysRoot& root, const NetworkConfig& wanted,
                            const std::vector<Route>& routes);

}  // namespace kdk
