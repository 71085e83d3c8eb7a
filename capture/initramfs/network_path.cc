#include "capture/initramfs/network_path.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <memory>
#include <sstream>

#include "core/base/error.h"

namespace kdk {
namespace {

namespace fs = std::filesystem;

using AddressBytes = std::vector<uint8_t>;  // 4 or 16

AddressBytes bytes_of(const std::string& address) {
  AddressBytes out(16);
  if (::inet_pton(AF_INET, address.c_str(), out.data()) == 1) {
    out.resize(4);
  } else if (::inet_pton(AF_INET6, address.c_str(), out.data()) != 1) {
    throw Error(Errc::format, address + ": is not an address");
  }
  return out;
}

std::string text_of(const uint8_t* bytes, bool v6) {
  std::array<char, INET6_ADDRSTRLEN> out{};
  (void)::inet_ntop(v6 ? AF_INET6 : AF_INET, bytes, out.data(), out.size());
  return out.data();
}

bool holds(const NetworkAddress& network, const std::string& address) {
  const AddressBytes ours = bytes_of(network.address), theirs = bytes_of(address);
  if (ours.size() != theirs.size()) return false;
  for (unsigned bit = 0; bit < network.prefix; ++bit) {
    const uint8_t mask = static_cast<uint8_t>(0x80 >> bit % 8);
    if (((ours[bit / 8] ^ theirs[bit / 8]) & mask) != 0) return false;
  }
  return true;
}

Error odd_line(std::string_view file, const std::string& line) {
  return Error(Errc::format, fmt::format("{}: a line that is no route: {}", file, line));
}

uint32_t hex32(const std::string& text, std::string_view file, const std::string& line) {
  uint32_t out = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, out, 16);
  if (error != std::errc() || rest != end) throw odd_line(file, line);
  return out;
}

// An address of IPv6 as the kernel prints it there: 32 hexadecimal digits.
std::string address_v6(const std::string& digits, std::string_view file, const std::string& line) {
  if (digits.size() != 32) throw odd_line(file, line);
  std::array<uint8_t, 16> bytes{};
  for (size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<uint8_t>(hex32(digits.substr(2 * i, 2), file, line));
  return text_of(bytes.data(), true);
}

constexpr uint32_t route_up = 1, route_gateway = 2, route_reject = 0x200;

// Whether it is a device with a driver, and not put together by software.
bool is_physical(const SysRoot& root, const std::string& interface) {
  return root.exists("/sys/class/net/" + interface + "/device");
}

std::string physical_interface(const SysRoot& root, const std::string& interface) {
  const std::string directory = "/sys/class/net/" + interface;
  if (!root.exists(directory)) {
    throw Error(Errc::missing, fmt::format("there is no network interface {} now", interface))
        .with_hint("ls /sys/class/net");
  }
  if (is_physical(root, interface)) return interface;
  // A bridge has the address; what it is a bridge for does the work.
  std::vector<std::string> ports;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root.path(directory + "/brif"), error)) {
    const std::string port = entry.path().filename().string();
    if (is_physical(root, port)) ports.push_back(port);
  }
  if (ports.size() == 1) return ports.front();
  throw Error(
      Errc::unsupported,
      fmt::format("network interface {} is made by software (a bond, a VLAN, a bridge of several, a tunnel): "
                  "a driver alone does not make it",
                  interface))
      .with_hint("give a [[network]] with an interface that is a device, and an address for it");
}

struct InterfaceAddresses {
  std::vector<NetworkAddress> all;
  bool leased = false;  // the address of IPv4 ends some day
};

void take_address(const nlmsghdr& header, unsigned index, InterfaceAddresses& out) {
  const auto* message = static_cast<const ifaddrmsg*>(NLMSG_DATA(&header));
  if (message->ifa_index != index || message->ifa_scope != RT_SCOPE_UNIVERSE) return;
  const bool v6 = message->ifa_family == AF_INET6;
  const uint8_t* address = nullptr;
  uint32_t flags = message->ifa_flags;
  auto left = static_cast<int>(IFA_PAYLOAD(&header));
  for (const rtattr* attribute = IFA_RTA(message); RTA_OK(attribute, left);
       attribute = RTA_NEXT(attribute, left)) {
    const auto length = static_cast<size_t>(RTA_PAYLOAD(attribute));
    const auto* data = static_cast<const uint8_t*>(RTA_DATA(attribute));
    // Of a point-to-point link IFA_ADDRESS is the other end.
    if ((attribute->rta_type == IFA_LOCAL || (attribute->rta_type == IFA_ADDRESS && address == nullptr)) &&
        length >= (v6 ? 16U : 4U))
      address = data;
    if (attribute->rta_type == IFA_FLAGS && length >= sizeof flags) std::memcpy(&flags, data, sizeof flags);
  }
  if (address == nullptr || (flags & IFA_F_TEMPORARY) != 0) return;
  // What a router announces, the crash kernel hears as well.
  if (v6 && (flags & IFA_F_PERMANENT) == 0) return;
  if (!v6 && (flags & IFA_F_PERMANENT) == 0) out.leased = true;
  out.all.push_back({text_of(address, v6), message->ifa_prefixlen, v6});
}

// Through rtnetlink: nothing else tells whether an address is leased.
InterfaceAddresses addresses_of(const std::string& interface) {
  const unsigned index = ::if_nametoindex(interface.c_str());
  const Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!socket) throw error_from_errno(errno, "rtnetlink");
  struct {
    nlmsghdr header;
    ifaddrmsg message;
  } request{};
  request.header.nlmsg_len = NLMSG_LENGTH(sizeof request.message);
  request.header.nlmsg_type = RTM_GETADDR;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.message.ifa_family = AF_UNSPEC;
  if (::send(socket.get(), &request, request.header.nlmsg_len, 0) < 0)
    throw error_from_errno(errno, "rtnetlink");
  InterfaceAddresses out;
  alignas(nlmsghdr) std::array<uint8_t, 65536> buffer;
  for (;;) {
    const ssize_t length = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (length < 0 && errno == EINTR) continue;
    if (length <= 0) throw error_from_errno(errno, "rtnetlink");
    auto left = static_cast<unsigned>(length);
    for (auto* header = reinterpret_cast<nlmsghdr*>(buffer.data()); NLMSG_OK(header, left);
         header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_type == NLMSG_DONE) return out;
      if (header->nlmsg_type == NLMSG_ERROR)
        throw Error(Errc::io, "rtnetlink: the kernel lists no addresses");
      if (header->nlmsg_type == RTM_NEWADDR) take_address(*header, index, out);
    }
  }
}

}  // namespace

std::string server_of(const RunTarget& target) {
  if (target.kind == TargetKind::nfs) return target.server;
  if (target.kind == TargetKind::ssh) return target.server.substr(target.server.rfind('@') + 1);
  // http://[user@]host[:port]/
  std::string host = target.url.substr(target.url.find("://") + 3);
  host = host.substr(0, host.find('/'));
  host = host.substr(host.rfind('@') + 1);
  if (host.starts_with('[')) {
    host = host.substr(1, host.find(']') - 1);
  } else {
    host = host.substr(0, host.find(':'));
  }
  if (host.empty()) throw Error(Errc::format, target.url + ": names no server");
  return host;
}

std::string look_up(const std::string& server) {
  if (is_ip_address(server)) return server;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int failure = ::getaddrinfo(server.c_str(), nullptr, &hints, &found);
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  if (failure != 0) {
    throw Error(Errc::missing, fmt::format("{}: nobody knows this name: {}", server, ::gai_strerror(failure)))
        .with_hint("a crash kernel asks nobody: the name must be known now, or be an address");
  }
  std::array<char, NI_MAXHOST> text{};
  const int bad =
      ::getnameinfo(found->ai_addr, found->ai_addrlen, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST);
  if (bad != 0) throw Error(Errc::io, fmt::format("{}: {}", server, ::gai_strerror(bad)));
  return text.data();
}

std::vector<Route> parse_routes_v4(std::string_view text) {
  constexpr std::string_view file = "/proc/net/route";
  std::vector<Route> out;
  std::istringstream in{std::string(text)};
  std::string line;
  std::getline(in, line);  // the heads of the columns
  while (std::getline(in, line)) {
    std::istringstream words(line);
    std::string interface, destination, gateway, flags, mask, other;
    if (!(words >> interface >> destination >> gateway >> flags >> other >> other >> other >> mask))
      throw odd_line(file, line);
    const uint32_t bits = hex32(flags, file, line);
    if ((bits & route_up) == 0 || (bits & route_reject) != 0) continue;
    // Printed as the number that its bytes in memory are on this machine, which is little-endian as its peers
    // here.
    const auto dotted = [&](const std::string& word) {
      const uint32_t value = hex32(word, file, line);
      std::array<uint8_t, 4> bytes{};
      std::memcpy(bytes.data(), &value, bytes.size());
      return bytes;
    };
    const std::optional<unsigned> prefix = prefix_of_mask(dotted(mask));
    if (!prefix) throw odd_line(file, line);
    Route route{interface, {}, {text_of(dotted(destination).data(), false), *prefix, false}};
    if ((bits & route_gateway) != 0) route.gateway = text_of(dotted(gateway).data(), false);
    out.push_back(std::move(route));
  }
  return out;
}

std::vector<Route> parse_routes_v6(std::string_view text) {
  constexpr std::string_view file = "/proc/net/ipv6_route";
  std::vector<Route> out;
  std::istringstream in{std::string(text)};
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string destination, prefix, source, source_prefix, next, metric, references, uses, flags, interface;
    if (!(words >> destination >> prefix >> source >> source_prefix >> next >> metric >> references >> uses >>
          flags >> interface))
      throw odd_line(file, line);
    const uint32_t bits = hex32(flags, file, line);
    const uint32_t length = hex32(prefix, file, line);
    if (length > 128) throw odd_line(file, line);
    // "lo" is how addresses of the machine's own are routed.
    if ((bits & route_up) == 0 || (bits & route_reject) != 0 || interface == "lo") continue;
    Route route{interface, {}, {address_v6(destination, file, line), length, true}};
    if ((bits & route_gateway) != 0) route.gateway = address_v6(next, file, line);
    out.push_back(std::move(route));
  }
  return out;
}

const Route* route_to(const std::vector<Route>& routes, const std::string& address) {
  const Route* best = nullptr;
  for (const Route& route : routes) {
    if (holds(route.network, address) && (best == nullptr || route.network.prefix > best->network.prefix))
      best = &route;
  }
  return best;
}

std::vector<Route> read_routes(const SysRoot& root) {
  std::vector<Route> out;
  if (root.exists("/proc/net/route")) out = parse_routes_v4(read_text_file(root.path("/proc/net/route")));
  if (root.exists("/proc/net/ipv6_route")) {
    const std::vector<Route> v6 = parse_routes_v6(read_text_file(root.path("/proc/net/ipv6_route")));
    out.insert(out.end(), v6.begin(), v6.end());
  }
  return out;
}

NetworkConfig crash_network(const SysRoot& root, const NetworkConfig& wanted,
                            const std::vector<Route>& routes) {
  NetworkConfig out = wanted;
  out.interface = physical_interface(root, wanted.interface);
  const std::string file = "/sys/class/net/" + out.interface + "/address";
  out.mac = parse_mac(read_text_file(root.path(file), 64));
  if (!out.mac)
    throw Error(Errc::unsupported, fmt::format("network interface {} is no Ethernet", out.interface));
  if (wanted.method != AddressMethod::automatic) return out;
  // A recorded machine tells no addresses.
  const InterfaceAddresses addresses =
      root.is_live() ? addresses_of(wanted.interface) : InterfaceAddresses{{}, true};
  out.method = addresses.leased ? AddressMethod::dhcp : AddressMethod::fixed;
  out.addresses = addresses.all;
  if (out.method == AddressMethod::fixed && out.addresses.empty()) {
    throw Error(Errc::missing, fmt::format("network interface {} has no address now", wanted.interface))
        .with_hint("give it one in the configuration, or make the initramfs when the network is up");
  }
  for (const Route& route : routes) {
    if (route.interface == wanted.interface && route.network.prefix == 0 && !route.gateway.empty())
      out.gateways.push_back(route.gateway);
  }
  return out;
}

}  // namespace kdk
