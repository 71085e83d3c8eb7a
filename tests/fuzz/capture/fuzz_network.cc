// What the network says, and what says how it is reached: a DHCP answer, routes, a program's ELF headers.
#include <cstdlib>

#include "capture/initramfs/network_path.h"
#include "capture/initramfs/program_files.h"
#include "core/base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  if (size > 64 << 10) return 0;
  const Bytes input{data, size};
  const MacAddress mac = {0x52, 0x54, 0, 0x12, 0x34, 0x56};
  if (const std::optional<DhcpAnswer> answer = parse_dhcp_answer(input, mac, 0x01020304)) {
    if (answer->kind != DhcpKind::nak && (answer->address == Ipv4{} || !prefix_of_mask(answer->mask)))
      std::abort();
    (void)dhcp_request(mac, 1, *answer);
  }
  for (const auto parse : {parse_routes_v4, parse_routes_v6}) {
    try {
      const std::vector<Route> routes = parse(as_text(input));
      for (const char* address : {"192.0.2.1", "2001:db8::1"}) {
        const Route* route = route_to(routes, address);
        if (route != nullptr && route->interface.empty()) std::abort();
      }
    } catch (const Error&) {
    }
  }
  try {
    for (const std::string& library : elf_needs(input, "fuzz").libraries) {
      if (library.find('\0') != std::string::npos) std::abort();
    }
  } catch (const Error&) {
  }
  return 0;
}
