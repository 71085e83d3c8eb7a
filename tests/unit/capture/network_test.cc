// The crash kernel's network: what DHCP says, what the configuration says.
#include <gtest/gtest.h>

#include <algorithm>

#include "capture/run/network.h"
#include "core/base/error.h"

namespace kdk {
namespace {

constexpr MacAddress mac = {0x52, 0x54, 0, 0x12, 0x34, 0x56};
constexpr uint32_t transaction = 0x01020304;

// An answer as RFC 2131 lays it out, written here by its table and not by the code under test.
std::vector<uint8_t> answer(uint8_t kind,
                            const std::vector<uint8_t>& options = {54, 4, 10, 0, 2, 2, 1, 4, 255, 255, 255, 0,
                                                                   3, 4, 10, 0, 2, 1}) {
  std::vector<uint8_t> out = {2, 1, 6, 0, 1, 2, 3, 4};
  out.resize(16);
  out.insert(out.end(), {10, 0, 2, 15});  // yours
  out.resize(28);
  out.insert(out.end(), mac.begin(), mac.end());
  out.resize(236);
  out.insert(out.end(), {99, 130, 83, 99});  // the cookie
  out.insert(out.end(), {53, 1, kind});
  out.insert(out.end(), options.begin(), options.end());
  out.push_back(255);
  return out;
}

TEST(Dhcp, AnOfferAndWhatIsAskedThen) {
  const std::vector<uint8_t> discover = dhcp_discover(mac, transaction);
  EXPECT_GE(discover.size(), 300);
  EXPECT_EQ(discover[0], 1);
  EXPECT_EQ(discover[10], 0x80) << "the broadcast flag";
  const std::optional<DhcpAnswer> offer = parse_dhcp_answer(answer(2), mac, transaction);
  ASSERT_TRUE(offer);
  EXPECT_EQ(offer->kind, DhcpKind::offer);
  EXPECT_EQ(offer->address, (Ipv4{10, 0, 2, 15}));
  EXPECT_EQ(offer->server, (Ipv4{10, 0, 2, 2}));
  EXPECT_EQ(offer->gateway, (Ipv4{10, 0, 2, 1}));
  EXPECT_EQ(prefix_of_mask(offer->mask), 24);
  const std::vector<uint8_t> request = dhcp_request(mac, transaction, *offer);
  const std::vector<uint8_t> wanted = {50, 4, 10, 0, 2, 15, 54, 4, 10, 0, 2, 2};
  EXPECT_FALSE(std::ranges::search(request, wanted).empty());
  EXPECT_EQ(parse_dhcp_answer(answer(5), mac, transaction)->kind, DhcpKind::ack);
  EXPECT_EQ(parse_dhcp_answer(answer(6, {}), mac, transaction)->kind, DhcpKind::nak);
}

TEST(Dhcp, WhatIsNoAnswerToUs) {
  EXPECT_FALSE(parse_dhcp_answer(answer(2), mac, transaction + 1));
  EXPECT_FALSE(parse_dhcp_answer(answer(2), {1, 2, 3, 4, 5, 6}, transaction));
  EXPECT_FALSE(parse_dhcp_answer(answer(1), mac, transaction)) << "a client's own word";
  EXPECT_FALSE(parse_dhcp_answer(answer(2, {}), mac, transaction)) << "an offer of nobody";
  EXPECT_FALSE(parse_dhcp_answer(answer(2, {54, 4, 10, 0, 2, 2, 1, 4, 255, 0, 255, 0}), mac, transaction))
      << "a mask with a hole";
  EXPECT_FALSE(parse_dhcp_answer(answer(2, {54, 4, 10, 0, 2, 2, 3, 200, 1}), mac, transaction))
      << "an option beyond the end";
  const std::vector<uint8_t> whole = answer(2);
  for (size_t length = 0; length + 1 < whole.size(); ++length) {
    // Cut anywhere: no answer, or one that is sound as far as it goes.
    const std::vector<uint8_t> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    const std::optional<DhcpAnswer> got = parse_dhcp_answer(cut, mac, transaction);
    EXPECT_TRUE(!got || got->server == (Ipv4{10, 0, 2, 2})) << length;
  }
}

TEST(Dhcp, WithoutAMaskTheClassCounts) {
  const std::optional<DhcpAnswer> offer =
      parse_dhcp_answer(answer(2, {54, 4, 10, 0, 2, 2}), mac, transaction);
  ASSERT_TRUE(offer);
  EXPECT_EQ(prefix_of_mask(offer->mask), 8);
  EXPECT_FALSE(offer->gateway);
}

NetworkConfig read(const std::string& text) {
  return read_network(ConfigFile::parse("[[network]]\n" + text, "f").tables("network").at(0));
}

TEST(Network, ReadBackItIsTheSame) {
  const NetworkConfig network = read(
      "interface = \"eth0\"\nmac = \"52:54:00:12:34:56\"\nmethod = \"dhcp\"\naddress = [\"192.0.2.10/24\", "
      "\"2001:db8::1/64\"]\n"
      "gateway = [\"192.0.2.1\"]\nwait = \"7s\"\n");
  EXPECT_EQ(network.mac, mac);
  ASSERT_EQ(network.addresses.size(), 2);
  EXPECT_TRUE(network.addresses[1].v6);
  EXPECT_EQ(network.addresses[0].prefix, 24);
  const std::string written = to_toml(network);
  EXPECT_EQ(to_toml(read_network(ConfigFile::parse(written, "w").tables("network").at(0))), written);
  EXPECT_NE(written.find("mac = \"52:54:00:12:34:56\"\n"), std::string::npos) << written;
}

TEST(Network, WhatIsWrongIsSaid) {
  const auto problem = [](const std::string& text) -> std::string {
    try {
      (void)read(text);
    } catch (const Error& e) {
      return e.message();
    }
    return "no error";
  };
  EXPECT_NE(problem("").find("interface: is missing"), std::string::npos);
  EXPECT_NE(problem("interface = \"../x\"\n").find("is not a name"), std::string::npos);
  EXPECT_NE(problem("interface = \"eth0\"\nmac = \"52:54\"\n").find("is not 00:11"), std::string::npos);
  EXPECT_NE(
      problem("interface = \"eth0\"\nmethod = \"fixed\"\n").find("f:3: network.method: fixed needs address"),
      std::string::npos)
      << problem("interface = \"eth0\"\nmethod = \"fixed\"\n");
  EXPECT_NE(problem("interface = \"eth0\"\naddress = [\"192.0.2.1/24\"]\n").find("needs method"),
            std::string::npos);
  EXPECT_NE(problem("interface = \"eth0\"\nmethod = \"dhcp\"\naddress = [\"192.0.2.1/33\"]\n")
                .find("is not ADDRESS/PREFIX"),
            std::string::npos);
  EXPECT_NE(problem("interface = \"eth0\"\ngateway = [\"router\"]\n").find("is not an address"),
            std::string::npos);
  EXPECT_NE(problem("interface = \"eth0\"\nvlan = 3\n").find("there is no such key"), std::string::npos);
}

}  // namespace
}  // namespace kdk
