// As much of DHCP as a crash kernel needs: an address, its prefix and a gateway for one interface, asked for
// once. No lease is renewed; the machine reboots long before. Pure: making and reading of messages;
// network.cc sends them. Source: RFC 2131, RFC 2132, RFC 3442 (classless routes are not read: the gateway is
// option 3's).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/base/bytes.h"

namespace kdk {

enum class DhcpKind : uint8_t { discover = 1, offer = 2, request = 3, ack = 5, nak = 6 };

using MacAddress = std::array<uint8_t, 6>;
using Ipv4 = std::array<uint8_t, 4>;  // in the order it is written

struct DhcpAnswer {
  DhcpKind kind = DhcpKind::offer;
  Ipv4 address{}, server{}, mask{};
  std::optional<Ipv4> gateway;
};

// The client asks for a broadcast answer, since it has no address yet to get one at.
std::vector<uint8_t> dhcp_discover(const MacAddress& mac, uint32_t transaction);
std::vector<uint8_t> dhcp_request(const MacAddress& mac, uint32_t transaction, const DhcpAnswer& offer);

// nullopt for what is no answer to this client in this transaction, or does not hold together: it comes from
// whoever is on the network.
std::optional<DhcpAnswer> parse_dhcp_answer(Bytes packet, const MacAddress& mac, uint32_t transaction);

// 255.255.255.0 -> 24; nullopt when the ones are not in front.
std::optional<unsigned> prefix_of_mask(const Ipv4& mask);

}  // namespace kdk
