#include "analyze/inspect/sockets.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <array>
#include <utility>

#include "core/base/log.h"

namespace kdk {
namespace {

using Names = std::pair<uint64_t, std::string_view>;
// include/linux/socket.h, include/linux/net.h, include/uapi/linux/in.h.
constexpr auto families = std::to_array<Names>({{1, "unix"},
                                                {2, "inet"},
                                                {10, "inet6"},
                                                {15, "key"},
                                                {16, "netlink"},
                                                {17, "packet"},
                                                {29, "can"},
                                                {31, "bluetooth"},
                                                {38, "alg"},
                                                {40, "vsock"},
                                                {43, "smc"},
                                                {44, "xdp"}});
constexpr auto kinds = std::to_array<Names>(
    {{1, "stream"}, {2, "dgram"}, {3, "raw"}, {4, "rdm"}, {5, "seqpacket"}, {6, "dccp"}, {10, "packet"}});
constexpr auto protocols = std::to_array<Names>(
    {{1, "icmp"}, {6, "tcp"}, {17, "udp"}, {58, "icmpv6"}, {132, "sctp"}, {136, "udplite"}, {262, "mptcp"}});
// include/net/tcp_states.h. Linux commit 91051f003948 ("tcp: Dump bound-only sockets in inet_diag.") (in
// v6.8) added the last.
constexpr auto states = std::to_array<Names>({{1, "ESTABLISHED"},
                                              {2, "SYN_SENT"},
                                              {3, "SYN_RECV"},
                                              {4, "FIN_WAIT1"},
                                              {5, "FIN_WAIT2"},
                                              {6, "TIME_WAIT"},
                                              {7, "CLOSE"},
                                              {8, "CLOSE_WAIT"},
                                              {9, "LAST_ACK"},
                                              {10, "LISTEN"},
                                              {11, "CLOSING"},
                                              {12, "NEW_SYN_RECV"},
                                              {13, "BOUND_INACTIVE"}});
constexpr uint64_t af_unix = 1, af_inet = 2, af_inet6 = 10, kind_stream = 1, protocol_tcp = 6;
constexpr size_t most_unix_name = 108;

template <size_t count>
std::string name_of(const std::array<Names, count>& names, std::optional<uint64_t> number) {
  if (!number) return {};
  for (const auto& [value, name] : names) {
    if (value == *number) return std::string(name);
  }
  return fmt::format("{}", *number);
}

std::string end_text(const std::string& address, uint64_t port, bool six) {
  if (address.empty()) return {};
  return six ? fmt::format("[{}]:{}", address, port) : fmt::format("{}:{}", address, port);
}

std::string address_at(Objects& objects, const Object& sock, std::string_view path, size_t size) {
  std::array<uint8_t, 16> bytes{};
  const auto at = sock.place(path);
  if (!at || !objects.memory().read(*at, MutableBytes(bytes).first(size))) return {};
  return ip_text(Bytes(bytes).first(size));
}

uint64_t swapped(uint64_t port) {
  return (port & 0xff) << 8 | (port >> 8 & 0xff);
}

// {refcnt, len, struct sockaddr_un}: the path of a bound one, or a name that begins with a zero.
std::string unix_name(Objects& objects, const Object& sock) {
  if (!objects.has_type("unix_sock")) return {};
  const auto address = objects.at("unix_sock", sock.at()).target("addr");
  const auto name = address ? address->place("name") : std::nullopt;
  const auto length = address ? address->number("len") : std::nullopt;
  constexpr uint64_t before = 2;  // sun_family
  if (!name || !length || *length <= before || *length - before > most_unix_name + 1) return {};
  std::string bytes(*length - before, '\0');
  if (!objects.memory().read(*name + before, {reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()}))
    return {};
  if (bytes[0] == '\0') return "@" + escape_untrusted(std::string_view(bytes).substr(1));
  return escape_untrusted(std::string_view(bytes).substr(0, bytes.find('\0')));
}

}  // namespace

std::string ip_text(Bytes address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = address.size() == 16 ? AF_INET6 : AF_INET;
  if (address.size() != 16 && address.size() != 4) return {};
  return inet_ntop(family, address.data(), text.data(), text.size()) != nullptr ? std::string(text.data())
                                                                                : std::string();
}

Socket read_socket(Objects& objects, const Object& sock, bool whole) {
  Socket out;
  out.address = sock.address();
  const auto common = whole ? sock.member("__sk_common") : std::optional(sock);
  if (!common) return out;
  const auto family = common->number("skc_family");
  out.family = name_of(families, family);
  uint64_t kind = kind_stream, protocol = protocol_tcp;
  if (whole) {
    kind = sock.number("sk_type").value_or(0);
    protocol = sock.number("sk_protocol").value_or(0);
    out.receive_bytes = sock.number("sk_backlog.rmem_alloc");
    out.send_bytes = sock.number("sk_wmem_queued");
  }
  out.type = name_of(kinds, kind);
  const bool internet = family == af_inet || family == af_inet6;
  if (internet) out.protocol = name_of(protocols, protocol);
  const auto state = common->number("skc_state");
  if (family == af_unix || (internet && kind == kind_stream)) out.state = name_of(states, state);
  if (family == af_unix) {
    if (whole) out.local = unix_name(objects, sock);
    return out;
  }
  if (!internet) return out;
  const bool six = family == af_inet6;
  const uint64_t local_port = common->number("skc_num").value_or(0);
  const uint64_t remote_port = swapped(common->number("skc_dport").value_or(0));
  const size_t size = six ? 16 : 4;
  out.local = end_text(address_at(objects, *common, six ? "skc_v6_rcv_saddr" : "skc_rcv_saddr", size),
                       local_port, six);
  if (remote_port != 0)
    out.remote =
        end_text(address_at(objects, *common, six ? "skc_v6_daddr" : "skc_daddr", size), remote_port, six);
  return out;
}

}  // namespace kdk
