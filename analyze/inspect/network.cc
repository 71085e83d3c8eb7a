#include "analyze/inspect/network.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

#include "core/base/error.h"

namespace kdk {
namespace {

constexpr uint64_t most_buckets = uint64_t{1} << 24;
constexpr size_t most_sockets = size_t{1} << 20, most_addresses = size_t{1} << 12;
constexpr uint64_t most_hardware_address = 32;                    // MAX_ADDR_LEN
constexpr uint64_t no_carrier_bit = 2;                            // __LINK_STATE_NOCARRIER
constexpr uint64_t state_time_wait = 6, state_new_syn_recv = 12;  // include/net/tcp_states.h

// include/uapi/linux/if.h
constexpr auto flag_words = std::to_array<std::pair<uint64_t, std::string_view>>({{0x1, "UP"},
                                                                                  {0x2, "BROADCAST"},
                                                                                  {0x8, "LOOPBACK"},
                                                                                  {0x10, "POINTOPOINT"},
                                                                                  {0x40, "RUNNING"},
                                                                                  {0x80, "NOARP"},
                                                                                  {0x100, "PROMISC"},
                                                                                  {0x200, "ALLMULTI"},
                                                                                  {0x400, "MASTER"},
                                                                                  {0x800, "SLAVE"},
                                                                                  {0x1000, "MULTICAST"}});
constexpr auto states = std::to_array<std::string_view>(
    {"unknown", "not present", "down", "lower layer down", "testing", "dormant", "up"});

class Reader {
 public:
  Reader(TypedMemory& types, Network& out, Problems& problems)
      : objects_(types), kernel_(types.kernel()), out_(out), problems_(problems) {}

  void interfaces() {
    const auto initial = kernel_.symbol("init_net");
    std::vector<Object> spaces;
    if (const auto head = kernel_.symbol("net_namespace_list")) {
      spaces = objects_.list(*head, "net", "list", "the list of network namespaces", problems_);
    } else if (initial) {
      spaces.push_back(objects_.at("net", *initial));
    }
    if (spaces.empty())
      throw Error(Errc::missing,
                  "no network: the kernel has none (CONFIG_NET=n), or neither net_namespace_list nor "
                  "init_net is known");
    for (const Object& net : spaces) {
      NetworkNamespace space;
      space.address = net.address();
      space.inode = net.number("ns.inum");
      space.initial = initial && net.at() == *initial;
      if (const auto head = net.place("dev_base_head")) {
        for (const Object& device :
             objects_.list(*head, "net_device", "dev_list",
                           fmt::format("the interfaces of the namespace at {:#x}", net.address()), problems_))
          space.interfaces.push_back(interface(device));
      }
      out_.namespaces.push_back(std::move(space));
      spaces_.push_back(net);
    }
  }

  void sockets();

 private:
  Interface interface(const Object& device);
  void addresses(Interface& out, const Object& device);
  void add(const Object& common);
  void table(VirtAddr buckets, uint64_t count, uint64_t stride, uint64_t head, std::string_view link,
             const std::string& what);
  void tcp(const Object& hashes);
  void udp(const Object& table);

  Objects objects_;
  Kernel& kernel_;
  Network& out_;
  Problems& problems_;
  std::vector<Object> spaces_;
  std::set<uint64_t> tables_, seen_;
};

Interface Reader::interface(const Object& device) {
  Interface out;
  out.address = device.address();
  out.name = device.text("name");
  out.index = device.signed_number("ifindex");
  out.mtu = device.signed_number("mtu");
  out.flags = device.number("flags");
  if (const auto state = device.number("operstate"))
    out.state = *state < states.size() ? std::string(states[*state]) : fmt::format("{}", *state);
  if (const auto link = device.number("state")) out.carrier = (*link >> no_carrier_bit & 1) == 0;
  if (const auto operations = device.number("netdev_ops"); operations.value_or(0) != 0)
    out.operations = objects_.symbol_text(*operations);
  const uint64_t length = std::min(device.number("addr_len").value_or(0), most_hardware_address);
  // A pointer, and an array in old kernels.
  const auto at = device.count("dev_addr") != 0 ? device.place("dev_addr") : device.pointer("dev_addr");
  std::array<uint8_t, most_hardware_address> bytes{};
  if (at && length != 0 && objects_.memory().read(*at, MutableBytes(bytes).first(length))) {
    for (uint64_t i = 0; i < length; ++i)
      out.hardware_address += fmt::format("{}{:02x}", i == 0 ? "" : ":", bytes[i]);
  }
  addresses(out, device);
  return out;
}

void Reader::addresses(Interface& out, const Object& device) {
  const auto four = device.target("ip_ptr");
  std::set<uint64_t> seen;
  for (auto one = four ? four->target("ifa_list") : std::nullopt; one; one = one->target("ifa_next")) {
    std::array<uint8_t, 4> bytes{};
    const auto at = one->place("ifa_local");
    if (!seen.insert(one->address()).second || seen.size() > most_addresses || !at ||
        !objects_.memory().read(*at, bytes)) {
      problems_.add(fmt::format("the addresses of {} cannot be followed to their end", out.name));
      break;
    }
    out.addresses.push_back({false, ip_text(bytes), one->number("ifa_prefixlen")});
  }
  const auto six = device.target("ip6_ptr");
  const auto head = six ? six->place("addr_list") : std::nullopt;
  if (!head || !objects_.has_type("inet6_ifaddr")) return;
  for (const Object& one : objects_.list(*head, "inet6_ifaddr", "if_list",
                                         fmt::format("the IPv6 addresses of {}", out.name), problems_)) {
    std::array<uint8_t, 16> bytes{};
    const auto at = one.place("addr");
    if (at && objects_.memory().read(*at, bytes))
      out.addresses.push_back({true, ip_text(bytes), one.number("prefix_len")});
  }
}

// One socket of a hash table, by its struct sock_common, which all of them begin with.
void Reader::add(const Object& common) {
  if (!seen_.insert(common.address()).second || seen_.size() > most_sockets) return;
  const auto state = common.number("skc_state");
  if (!state) {
    problems_.add(fmt::format("the socket at {:#x} cannot be read", common.address()));
    return;
  }
  const bool small = *state == state_time_wait || *state == state_new_syn_recv;
  Socket socket =
      small ? read_socket(objects_, common, false) : read_socket(objects_, objects_.at("sock", common.at()));
  // CONFIG_NET_NS: else there is one namespace.
  const uint64_t net = common.number("skc_net.net").value_or(0);
  const auto space = std::ranges::find(out_.namespaces, net, &NetworkNamespace::address);
  NetworkNamespace& where = space != out_.namespaces.end() ? *space : out_.namespaces.front();
  if (net != 0 && space == out_.namespaces.end())
    problems_.add(fmt::format("the socket at {:#x} is of no namespace that is listed", common.address()));
  where.sockets.push_back(std::move(socket));
}

void Reader::table(VirtAddr buckets, uint64_t count, uint64_t stride, uint64_t head, std::string_view link,
                   const std::string& what) {
  if (!tables_.insert(buckets.value).second) return;  // namespaces share it
  if (count == 0 || count > most_buckets || stride == 0) {
    problems_.add(fmt::format("{} says it has {} buckets", what, count));
    return;
  }
  for (uint64_t i = 0; i < count; ++i) {
    const VirtAddr at = buckets + i * stride + head;
    const auto first = kernel_.memory().u64(at);
    if (!first) {
      problems_.add(fmt::format("{} cannot be read from bucket {} on", what, i));
      return;
    }
    if (*first == 0 || (*first & 1) != 0) continue;
    for (const Object& common : objects_.hash_list(at, "sock_common", link, what, problems_)) add(common);
  }
}

void Reader::tcp(const Object& hashes) {
  const Layout& layout = kernel_.layout();
  // Linux commit cae3873c5b3a ("net: inet: Retire port only listening_hash") (in v5.19).
  if (const auto listeners = hashes.pointer("lhash2"); listeners && !hashes.has("listening_hash")) {
    const auto head = layout.first_field("inet_listen_hashbucket", {"nulls_head", "head"});
    table(*listeners, hashes.number("lhash2_mask").value_or(0) + 1,
          layout.size_of("inet_listen_hashbucket").value_or(0), head ? head->offset : 0, "skc_nulls_node",
          "the table of TCP listeners");
  } else if (const uint64_t count = hashes.count("listening_hash"); count != 0) {
    const auto head = layout.first_field("inet_listen_hashbucket", {"nulls_head", "head"});
    table(*hashes.place("listening_hash"), count, layout.size_of("inet_listen_hashbucket").value_or(0),
          head ? head->offset : 0, "skc_nulls_node", "the table of TCP listeners");
  }
  if (const auto connections = hashes.pointer("ehash"))
    table(*connections, hashes.number("ehash_mask").value_or(0) + 1,
          layout.size_of("inet_ehash_bucket").value_or(0), 0, "skc_nulls_node",
          "the table of TCP connections");
}

void Reader::udp(const Object& hashes) {
  if (const auto slots = hashes.pointer("hash"))
    table(*slots, hashes.number("mask").value_or(0) + 1, kernel_.layout().size_of("udp_hslot").value_or(0), 0,
          "skc_node", "the table of UDP sockets");
}

void Reader::sockets() {
  // Namespaces may have tables of their own (net.ipv4.tcp_child_ehash_entries, udp_child_hash_entries).
  for (const Object& net : spaces_) {
    auto row = net.member("ipv4.tcp_death_row");
    if (row && !row->has("hashinfo")) row = net.target("ipv4.tcp_death_row");
    if (const auto hashes = row ? row->target("hashinfo") : std::nullopt) tcp(*hashes);
    if (const auto hashes = net.target("ipv4.udp_table")) udp(*hashes);
  }
  if (const auto at = kernel_.symbol("tcp_hashinfo")) tcp(objects_.at("inet_hashinfo", *at));
  if (const auto at = kernel_.symbol("udp_table")) udp(objects_.at("udp_table", *at));
  if (tables_.empty()) problems_.add("no table of TCP or UDP sockets is known");
}

}  // namespace

Network read_network(TypedMemory& types, bool sockets) {
  Network out;
  Problems problems;
  out.with_sockets = sockets;
  Reader reader(types, out, problems);
  reader.interfaces();
  if (sockets) reader.sockets();
  out.problems = problems.take();
  return out;
}

std::string interface_flags(uint64_t flags) {
  std::string out;
  for (const auto& [bit, word] : flag_words) {
    if ((flags & bit) != 0) out += fmt::format("{}{}", out.empty() ? "" : ",", word);
  }
  return out;
}

}  // namespace kdk
