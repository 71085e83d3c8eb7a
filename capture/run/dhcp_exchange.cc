#include "capture/run/dhcp_exchange.h"

#include <algorithm>

namespace kdk {
namespace {

using Time = DhcpLink::Time;

// The first wait for an offer, and the longest; it doubles in between.
constexpr Time first_patience(1000), most_patience(8000);
// A server that offered needs no longer to confirm.
constexpr Time confirmation(4000);

std::optional<DhcpAnswer> receive(DhcpLink& link, const MacAddress& mac, uint32_t transaction, Time until,
                                  DhcpKind kind) {
  while (link.now() < until) {
    const std::optional<std::vector<uint8_t>> packet = link.receive(until);
    if (!packet) continue;
    std::optional<DhcpAnswer> answer = parse_dhcp_answer(*packet, mac, transaction);
    // Only a request can be refused.
    const bool refused = answer && kind == DhcpKind::ack && answer->kind == DhcpKind::nak;
    if (answer && (answer->kind == kind || refused)) return answer;
  }
  return std::nullopt;
}

}  // namespace

std::optional<DhcpAnswer> ask_for_address(DhcpLink& link, const MacAddress& mac, uint32_t transaction,
                                          std::chrono::seconds wait) {
  const Time end = link.now() + wait;
  Time patience = first_patience;
  while (link.now() < end) {
    const Time until = std::min(end, link.now() + patience);
    patience = std::min(patience * 2, most_patience);
    link.send(dhcp_discover(mac, transaction));
    const std::optional<DhcpAnswer> offer = receive(link, mac, transaction, until, DhcpKind::offer);
    if (!offer) continue;
    link.send(dhcp_request(mac, transaction, *offer));
    std::optional<DhcpAnswer> ack =
        receive(link, mac, transaction, std::min(end, link.now() + confirmation), DhcpKind::ack);
    if (ack && ack->kind == DhcpKind::ack) return ack;
    // A server that takes back what it offered is not asked again at once.
    link.wait_until(until);
  }
  return std::nullopt;
}

}  // namespace kdk
