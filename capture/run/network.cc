#include "capture/run/network.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <thread>

#include "capture/run/dhcp_exchange.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/log.h"

namespace kdk {
namespace {

namespace fs = std::filesystem;
using std::chrono::steady_clock;

constexpr std::array<std::string_view, 3> method_names = {"auto", "dhcp", "fixed"};
constexpr uint16_t client_port = 68, server_port = 67;

// linux/ipv6.h cannot be included beside netinet/in.h.
struct In6Request {
  in6_addr address;
  uint32_t prefix;
  int interface;
};

ifreq request_for(const std::string& interface) {
  ifreq out{};
  interface.copy(out.ifr_name, sizeof out.ifr_name - 1);
  return out;
}

void set_address(sockaddr& where, const std::string& address) {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  (void)::inet_pton(AF_INET, address.c_str(), &in.sin_addr);
  std::memcpy(&where, &in, sizeof in);
}

std::string text_of(const Ipv4& address) {
  return fmt::format("{}.{}.{}.{}", address[0], address[1], address[2], address[3]);
}

std::string mask_text(unsigned prefix) {
  const uint32_t bits = prefix == 0 ? 0 : ~uint32_t{0} << (32 - prefix);
  return fmt::format("{}.{}.{}.{}", bits >> 24, bits >> 16 & 255, bits >> 8 & 255, bits & 255);
}

// One interface, by the ioctls of netdevice(7).
class Interface {
 public:
  explicit Interface(std::string name)
      : name_(std::move(name)), socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    if (!socket_) throw error_from_errno(errno, "socket");
  }

  const std::string& name() const { return name_; }

  void up() {
    ifreq request = request_for(name_);
    check(::ioctl(socket_.get(), SIOCGIFFLAGS, &request), "reading its flags");
    request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
    check(::ioctl(socket_.get(), SIOCSIFFLAGS, &request), "bringing it up");
  }

  bool has_address() const {
    ifreq request = request_for(name_);
    return ::ioctl(socket_.get(), SIOCGIFADDR, &request) == 0;
  }

  void wait_for_carrier(std::chrono::seconds wait) const {
    const auto end = steady_clock::now() + wait;
    for (;;) {
      ifreq request = request_for(name_);
      if (::ioctl(socket_.get(), SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_RUNNING) != 0)
        return;
      if (steady_clock::now() >= end)
        throw Error(Errc::missing, fmt::format("{}: there is no carrier after {} s", name_, wait.count()));
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }

  void add(const NetworkAddress& address) {
    if (address.v6) return add_v6(address);
    ifreq request = request_for(name_);
    set_address(request.ifr_addr, address.address);
    check(::ioctl(socket_.get(), SIOCSIFADDR, &request), "setting its address");
    set_address(request.ifr_netmask, mask_text(address.prefix));
    check(::ioctl(socket_.get(), SIOCSIFNETMASK, &request), "setting its netmask");
  }

  void add_gateway(const std::string& gateway) {
    if (gateway.find(':') != std::string::npos) return add_gateway_v6(gateway);
    rtentry route{};
    set_address(route.rt_dst, "0.0.0.0");
    set_address(route.rt_genmask, "0.0.0.0");
    set_address(route.rt_gateway, gateway);
    route.rt_flags = RTF_UP | RTF_GATEWAY;
    std::string name = name_;
    route.rt_dev = name.data();
    if (::ioctl(socket_.get(), SIOCADDRT, &route) != 0 && errno != EEXIST)
      throw error_from_errno(errno, fmt::format("{}: gateway {}", name_, gateway));
  }

 private:
  int index() const {
    ifreq request = request_for(name_);
    check(::ioctl(socket_.get(), SIOCGIFINDEX, &request), "reading its index");
    return request.ifr_ifindex;
  }

  void add_v6(const NetworkAddress& address) {
    const Fd socket(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket) throw error_from_errno(errno, "socket of IPv6");
    In6Request request{{}, address.prefix, index()};
    (void)::inet_pton(AF_INET6, address.address.c_str(), &request.address);
    if (::ioctl(socket.get(), SIOCSIFADDR, &request) != 0 && errno != EEXIST)
      throw error_from_errno(errno, fmt::format("{}: {}", name_, address.address));
  }

  void add_gateway_v6(const std::string& gateway) {
    const Fd socket(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket) throw error_from_errno(errno, "socket of IPv6");
    in6_rtmsg route{};
    (void)::inet_pton(AF_INET6, gateway.c_str(), &route.rtmsg_gateway);
    route.rtmsg_flags = RTF_UP | RTF_GATEWAY;
    route.rtmsg_metric = 1;
    route.rtmsg_ifindex = index();
    if (::ioctl(socket.get(), SIOCADDRT, &route) != 0 && errno != EEXIST)
      throw error_from_errno(errno, fmt::format("{}: gateway {}", name_, gateway));
  }

  void check(int result, std::string_view what) const {
    if (result != 0) throw error_from_errno(errno, fmt::format("{}: {}", name_, what));
  }

  const std::string name_;
  const Fd socket_;
};

// The interface of this MAC address, or of this name; it may appear a moment after its driver.
std::string find_interface(const NetworkConfig& network) {
  const auto end = steady_clock::now() + network.wait;
  for (;;) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator("/sys/class/net", error)) {
      const std::string name = entry.path().filename().string();
      // One that is made of others has the address of one of them.
      if (!network.mac ? name == network.interface : fs::exists(entry.path() / "device", error)) {
        if (!network.mac || parse_mac(read_text_file(entry.path() / "address", 64)) == network.mac)
          return name;
      }
    }
    if (steady_clock::now() >= end) {
      throw Error(Errc::missing, fmt::format("there is no network interface {} after {} s", network.interface,
                                             network.wait.count()));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
}

// The socket is the interface's own: it can send to everybody without an address, and gets what is sent so.
class InterfaceLink : public DhcpLink {
 public:
  explicit InterfaceLink(const std::string& interface)
      : socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    const auto fail = [&](std::string_view what) {
      return error_from_errno(errno, fmt::format("{}: DHCP: {}", interface, what));
    };
    if (!socket_) throw fail("socket");
    const int on = 1;
    if (::setsockopt(socket_.get(), SOL_SOCKET, SO_BINDTODEVICE, interface.c_str(),
                     static_cast<socklen_t>(interface.size())) != 0 ||
        ::setsockopt(socket_.get(), SOL_SOCKET, SO_BROADCAST, &on, sizeof on) != 0) {
      throw fail("preparing the socket");
    }
    sockaddr_in here{};
    here.sin_family = AF_INET;
    here.sin_port = htons(client_port);
    if (::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&here), sizeof here) != 0) throw fail("bind");
  }

  Time now() override { return std::chrono::duration_cast<Time>(steady_clock::now().time_since_epoch()); }

  void wait_until(Time time) override { std::this_thread::sleep_for(time - now()); }

  void send(const std::vector<uint8_t>& message) override {
    sockaddr_in there{};
    there.sin_family = AF_INET;
    there.sin_port = htons(server_port);
    there.sin_addr.s_addr = INADDR_BROADCAST;
    (void)::sendto(socket_.get(), message.data(), message.size(), 0,
                   reinterpret_cast<const sockaddr*>(&there), sizeof there);
  }

  std::optional<std::vector<uint8_t>> receive(Time until) override {
    const auto left = std::max<int64_t>((until - now()).count(), 0);
    pollfd ready{socket_.get(), POLLIN, 0};
    if (::poll(&ready, 1, static_cast<int>(left)) <= 0) return std::nullopt;
    std::vector<uint8_t> packet(2048);
    const ssize_t length = ::recv(socket_.get(), packet.data(), packet.size(), 0);
    if (length <= 0) return std::nullopt;
    packet.resize(static_cast<size_t>(length));
    return packet;
  }

 private:
  const Fd socket_;
};

std::optional<DhcpAnswer> ask_for_address(const std::string& interface, const MacAddress& mac,
                                          std::chrono::seconds wait) {
  InterfaceLink link(interface);
  uint32_t transaction = 0x6b64756d;
  (void)!::getrandom(&transaction, sizeof transaction, GRND_NONBLOCK);
  return ask_for_address(link, mac, transaction, wait);
}

MacAddress mac_of(const std::string& interface) {
  const std::string text = read_text_file("/sys/class/net/" + interface + "/address", 64);
  if (const std::optional<MacAddress> mac = parse_mac(text)) return *mac;
  throw Error(Errc::unsupported, fmt::format("{}: is no Ethernet", interface));
}

}  // namespace

std::string_view to_string(AddressMethod method) {
  return method_names[static_cast<size_t>(method)];
}

bool is_ip_address(const std::string& text) {
  std::array<unsigned char, sizeof(in6_addr)> out{};
  return ::inet_pton(AF_INET, text.c_str(), out.data()) == 1 ||
         ::inet_pton(AF_INET6, text.c_str(), out.data()) == 1;
}

std::optional<NetworkAddress> parse_network_address(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  NetworkAddress out{std::string(text.substr(0, slash)), 0, text.find(':') != std::string_view::npos};
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data() + slash + 1, end, out.prefix);
  if (error != std::errc() || rest != end || out.prefix > (out.v6 ? 128U : 32U) ||
      !is_ip_address(out.address))
    return std::nullopt;
  return out;
}

std::optional<MacAddress> parse_mac(std::string_view text) {
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  MacAddress out{};
  if (text.size() != 3 * out.size() - 1) return std::nullopt;
  for (size_t i = 0; i < out.size(); ++i) {
    const char* at = text.data() + 3 * i;
    const auto [rest, error] = std::from_chars(at, at + 2, out[i], 16);
    if (error != std::errc() || rest != at + 2 || (i + 1 != out.size() && *rest != ':')) return std::nullopt;
  }
  return out;
}

NetworkConfig read_network(ConfigTable table) {
  NetworkConfig out;
  out.interface = table.required_text("interface");
  if (out.interface.size() >= IFNAMSIZ || out.interface.find('/') != std::string::npos ||
      out.interface.front() == '.')
    throw table.error("interface", "is not a name of a network interface");
  if (const auto mac = table.text("mac")) {
    out.mac = parse_mac(*mac);
    if (!out.mac) throw table.error("mac", "is not 00:11:22:33:44:55");
  }
  out.method = static_cast<AddressMethod>(table.word("method", {"auto", "dhcp", "fixed"}).value_or(0));
  for (const std::string& text : table.texts("address").value_or(std::vector<std::string>{})) {
    const std::optional<NetworkAddress> address = parse_network_address(text);
    if (!address) throw table.error("address", fmt::format("\"{}\" is not ADDRESS/PREFIX", text));
    out.addresses.push_back(*address);
  }
  if (out.method == AddressMethod::fixed && out.addresses.empty())
    throw table.error("method", "fixed needs address");
  if (out.method == AddressMethod::automatic && !out.addresses.empty())
    throw table.error("address", "needs method = \"fixed\" or \"dhcp\"");
  for (const std::string& text : table.texts("gateway").value_or(std::vector<std::string>{})) {
    if (!is_ip_address(text)) throw table.error("gateway", fmt::format("\"{}\" is not an address", text));
    out.gateways.push_back(text);
  }
  out.wait = table.duration("wait").value_or(std::chrono::seconds(20));
  table.finish();
  return out;
}

std::string to_toml(const NetworkConfig& network) {
  std::string out = fmt::format("\n[[network]]\ninterface = \"{}\"\n", network.interface);
  if (network.mac) out += fmt::format("mac = \"{:02x}\"\n", fmt::join(*network.mac, ":"));
  out += fmt::format("method = \"{}\"\n", to_string(network.method));
  const auto list = [&out](std::string_view key, const std::vector<std::string>& values) {
    if (!values.empty()) out += fmt::format("{} = [\"{}\"]\n", key, fmt::join(values, "\", \""));
  };
  std::vector<std::string> addresses;
  for (const NetworkAddress& address : network.addresses)
    addresses.push_back(fmt::format("{}/{}", address.address, address.prefix));
  list("address", addresses);
  list("gateway", network.gateways);
  return out + fmt::format("wait = \"{}s\"\n", network.wait.count());
}

void bring_up(const NetworkConfig& network) {
  Interface("lo").up();
  Interface interface(find_interface(network));
  if (interface.has_address()) return;
  interface.up();
  interface.wait_for_carrier(network.wait);
  std::vector<NetworkAddress> addresses = network.addresses;
  std::vector<std::string> gateways = network.gateways;
  if (network.method != AddressMethod::fixed) {
    const std::optional<DhcpAnswer> answer =
        ask_for_address(interface.name(), mac_of(interface.name()), network.wait);
    if (answer) {
      std::erase_if(addresses, [](const NetworkAddress& address) { return !address.v6; });
      addresses.push_back({text_of(answer->address), prefix_of_mask(answer->mask).value_or(32), false});
      std::erase_if(gateways,
                    [](const std::string& gateway) { return gateway.find(':') == std::string::npos; });
      if (answer->gateway) gateways.push_back(text_of(*answer->gateway));
    } else if (addresses.empty()) {
      throw Error(Errc::missing, fmt::format("{}: no DHCP server gave an address within {} s",
                                             interface.name(), network.wait.count()));
    } else {
      log_warning("{}: no DHCP server gave an address within {} s: {} of before the crash is used",
                  interface.name(), network.wait.count(), addresses.front().address);
    }
  }
  for (const NetworkAddress& address : addresses) interface.add(address);
  for (const std::string& gateway : gateways) interface.add_gateway(gateway);
}

}  // namespace kdk
