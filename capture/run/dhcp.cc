#include "capture/run/dhcp.h"

#include <algorithm>
#include <string_view>

namespace kdk {
namespace {

// The fixed part of a message (RFC 2131, figure 1), and where the options begin behind the cookie.
constexpr size_t mac_at = 28, your_address_at = 16, flags_at = 10, transaction_at = 4, cookie_at = 236,
                 options_at = 240;
constexpr std::array<uint8_t, 4> cookie = {99, 130, 83, 99};
// What old relays and servers take is at least as long as a BOOTP message.
constexpr size_t least_length = 300;
enum Option : uint8_t {
  option_pad = 0,
  option_mask = 1,
  option_router = 3,
  option_requested = 50,
  option_kind = 53,
  option_server = 54,
  option_wanted = 55,
  option_end = 255,
};

std::vector<uint8_t> message(DhcpKind kind, const MacAddress& mac, uint32_t transaction) {
  std::vector<uint8_t> out(options_at, 0);
  out[0] = 1;  // a request
  out[1] = 1;  // over Ethernet
  out[2] = static_cast<uint8_t>(mac.size());
  for (unsigned i = 0; i < 4; ++i)
    out[transaction_at + i] = static_cast<uint8_t>(transaction >> (24 - 8 * i));
  out[flags_at] = 0x80;  // broadcast
  std::ranges::copy(mac, out.begin() + mac_at);
  std::ranges::copy(cookie, out.begin() + cookie_at);
  out.insert(out.end(), {option_kind, 1, static_cast<uint8_t>(kind)});
  out.insert(out.end(), {option_wanted, 2, option_mask, option_router});
  return out;
}

std::vector<uint8_t> ended(std::vector<uint8_t> message) {
  message.push_back(option_end);
  message.resize(std::max(message.size(), least_length), option_pad);
  return message;
}

void add_address(std::vector<uint8_t>& message, Option option, const Ipv4& address) {
  message.insert(message.end(), {option, 4});
  message.insert(message.end(), address.begin(), address.end());
}

Ipv4 address_at(Bytes bytes, size_t at) {
  Ipv4 out;
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), out.size(), out.begin());
  return out;
}

// Calls `use` with each option's number and value; false when one is longer than the packet.
template <typename F>
bool for_each_option(Bytes options, F&& use) {
  for (size_t at = 0; at < options.size();) {
    const uint8_t number = options[at++];
    if (number == option_end) return true;
    if (number == option_pad) continue;
    if (at == options.size() || options.size() - at - 1 < options[at]) return false;
    use(number, options.subspan(at + 1, options[at]));
    at += size_t{1} + options[at];
  }
  return true;  // some servers leave the end out
}

}  // namespace

std::vector<uint8_t> dhcp_discover(const MacAddress& mac, uint32_t transaction) {
  return ended(message(DhcpKind::discover, mac, transaction));
}

std::vector<uint8_t> dhcp_request(const MacAddress& mac, uint32_t transaction, const DhcpAnswer& offer) {
  std::vector<uint8_t> out = message(DhcpKind::request, mac, transaction);
  add_address(out, option_requested, offer.address);
  add_address(out, option_server, offer.server);
  return ended(std::move(out));
}

std::optional<DhcpAnswer> parse_dhcp_answer(Bytes packet, const MacAddress& mac, uint32_t transaction) {
  if (packet.size() < options_at || packet[0] != 2 || packet[1] != 1 || packet[2] != mac.size())
    return std::nullopt;
  uint32_t theirs = 0;
  for (unsigned i = 0; i < 4; ++i) theirs = theirs << 8 | packet[transaction_at + i];
  if (theirs != transaction) return std::nullopt;
  if (!std::ranges::equal(packet.subspan(mac_at, mac.size()), mac)) return std::nullopt;
  if (!std::ranges::equal(packet.subspan(cookie_at, cookie.size()), cookie)) return std::nullopt;

  DhcpAnswer out;
  out.address = address_at(packet, your_address_at);
  bool has_kind = false, has_server = false, has_mask = false;
  const bool sound = for_each_option(packet.subspan(options_at), [&](uint8_t number, Bytes value) {
    if (number == option_kind && value.size() == 1) {
      out.kind = static_cast<DhcpKind>(value[0]);
      has_kind = true;
    } else if (number == option_server && value.size() == 4) {
      out.server = address_at(value, 0);
      has_server = true;
    } else if (number == option_mask && value.size() == 4) {
      out.mask = address_at(value, 0);
      has_mask = true;
    } else if (number == option_router && value.size() >= 4) {
      out.gateway = address_at(value, 0);  // the first is preferred
    }
  });
  if (!sound || !has_kind) return std::nullopt;
  if (out.kind == DhcpKind::nak) return out;
  if (out.kind != DhcpKind::offer && out.kind != DhcpKind::ack) return std::nullopt;
  if (!has_server || out.address == Ipv4{}) return std::nullopt;
  if (!has_mask) {
    // What the address's class had before there were masks.
    const uint8_t first = out.address[0];
    out.mask = first < 128 ? Ipv4{255, 0, 0, 0} : first < 192 ? Ipv4{255, 255, 0, 0} : Ipv4{255, 255, 255, 0};
  }
  if (!prefix_of_mask(out.mask)) return std::nullopt;
  return out;
}

std::optional<unsigned> prefix_of_mask(const Ipv4& mask) {
  uint32_t bits = 0;
  for (const uint8_t byte : mask) bits = bits << 8 | byte;
  unsigned ones = 0;
  while (ones < 32 && (bits & 0x80000000U) != 0) {
    bits <<= 1;
    ++ones;
  }
  if (bits != 0) return std::nullopt;
  return ones;
}

}  // namespace kdk
