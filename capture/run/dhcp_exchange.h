// A client's part in DHCP: who is asked what, when again, and whose answer counts (RFC 2131, sections 3.1 and
// 4.4.1). How messages travel and what time it is comes from outside.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "capture/run/dhcp.h"

namespace kdk {

// To all servers on one interface, and what comes from there, by anybody.
class DhcpLink {
 public:
  using Time = std::chrono::milliseconds;  // since some moment

  virtual ~DhcpLink() = default;
  virtual Time now() = 0;
  virtual void wait_until(Time time) = 0;
  // A link that is not ready yet loses it; it is sent again.
  virtual void send(const std::vector<uint8_t>& message) = 0;
  // nullopt: nothing came until then.
  virtual std::optional<std::vector<uint8_t>> receive(Time until) = 0;
};

// nullopt: nobody gave an address.
std::optional<DhcpAnswer> ask_for_address(DhcpLink& link, const MacAddress& mac, uint32_t transaction,
                                          std::chrono::seconds wait);

}  // namespace kdk
