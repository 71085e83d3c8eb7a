// The client's part in DHCP against servers that refuse, are silent, or speak with others. No time passes:
// the link has a clock of its own.
#include "capture/run/dhcp_exchange.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>

namespace kdk {
namespace {

using Time = DhcpLink::Time;
using std::chrono::seconds;

constexpr MacAddress mac = {0x52, 0x54, 0, 0x12, 0x34, 0x56};
constexpr uint32_t transaction = 0x01020304;
enum Kind : uint8_t { discover = 1, offer = 2, request = 3, ack = 5, nak = 6 };

// As RFC 2131 lays a server's answer out, for the address 10.0.2.LAST.
std::vector<uint8_t> answer(Kind kind, uint8_t last, uint32_t in_transaction = transaction) {
  std::vector<uint8_t> out = {2, 1, 6, 0};
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<uint8_t>(in_transaction >> shift));
  out.resize(16);
  if (kind != nak) out.insert(out.end(), {10, 0, 2, last});
  out.resize(28);
  out.insert(out.end(), mac.begin(), mac.end());
  out.resize(236);
  out.insert(out.end(), {99, 130, 83, 99, 53, 1, kind, 54, 4, 10, 0, 2, 2});
  if (kind != nak) out.insert(out.end(), {1, 4, 255, 255, 255, 0});
  out.push_back(255);
  return out;
}

struct Sent {
  Kind kind;
  Time time;
  std::vector<uint8_t> message;
};

// A server that answers the n-th message (from 0) with what `says` returns, each answer 10 ms later.
class FakeServer : public DhcpLink {
 public:
  using Answers = std::vector<std::vector<uint8_t>>;
  explicit FakeServer(std::function<Answers(size_t, Kind)> says) : says_(std::move(says)) {}

  Time now() override { return now_; }
  void wait_until(Time time) override { now_ = std::max(now_, time); }
  void send(const std::vector<uint8_t>& message) override {
    const auto kind = static_cast<Kind>(message.at(242));  // behind the cookie: option 53, one byte
    sent.push_back({kind, now_, message});
    for (std::vector<uint8_t>& packet : says_(sent.size() - 1, kind)) waiting_.push_back(std::move(packet));
  }
  std::optional<std::vector<uint8_t>> receive(Time until) override {
    if (waiting_.empty() || now_ + Time(10) > until) {
      now_ = until;
      return std::nullopt;
    }
    now_ += Time(10);
    std::vector<uint8_t> out = std::move(waiting_.front());
    waiting_.pop_front();
    return out;
  }

  std::vector<Sent> sent;

 private:
  const std::function<Answers(size_t, Kind)> says_;
  std::deque<std::vector<uint8_t>> waiting_;
  Time now_{5000};
};

std::vector<Kind> kinds(const FakeServer& server) {
  std::vector<Kind> out;
  for (const Sent& sent : server.sent) out.push_back(sent.kind);
  return out;
}

TEST(DhcpExchange, FourMessages) {
  FakeServer server(
      [](size_t, Kind kind) -> FakeServer::Answers { return {answer(kind == discover ? offer : ack, 15)}; });
  const std::optional<DhcpAnswer> got = ask_for_address(server, mac, transaction, seconds(20));
  ASSERT_TRUE(got);
  EXPECT_EQ(got->address, (Ipv4{10, 0, 2, 15}));
  EXPECT_EQ(kinds(server), (std::vector<Kind>{discover, request}));
}

TEST(DhcpExchange, ARefusalBeginsAnew) {
  // The address was given away between the offer and the request; the next offer is good.
  FakeServer server([](size_t number, Kind kind) -> FakeServer::Answers {
    if (kind == discover) return {answer(offer, number == 0 ? 15 : 16)};
    return {number == 1 ? answer(nak, 0) : answer(ack, 16)};
  });
  const std::optional<DhcpAnswer> got = ask_for_address(server, mac, transaction, seconds(20));
  ASSERT_TRUE(got);
  EXPECT_EQ(got->kind, DhcpKind::ack);
  EXPECT_EQ(got->address, (Ipv4{10, 0, 2, 16}));
  EXPECT_EQ(kinds(server), (std::vector<Kind>{discover, request, discover, request}));
  EXPECT_EQ(server.sent[2].time - server.sent[0].time, Time(1000)) << "not at once";
  const std::vector<uint8_t> asked = {50, 4, 10, 0, 2, 16};
  EXPECT_FALSE(std::ranges::search(server.sent[3].message, asked).empty()) << "what was offered last";
}

TEST(DhcpExchange, AServerThatOnlyRefuses) {
  FakeServer server([](size_t, Kind kind) -> FakeServer::Answers {
    return {kind == discover ? answer(offer, 15) : answer(nak, 0)};
  });
  EXPECT_FALSE(ask_for_address(server, mac, transaction, seconds(20)));
  // At 0, 1, 3, 7 and 15 s: a machine that cannot get an address is no load for the network.
  EXPECT_EQ(std::ranges::count(kinds(server), discover), 5);
  EXPECT_EQ(server.now(), Time(5000) + seconds(20));
}

TEST(DhcpExchange, ARefusalOfNothingAskedIsNone) {
  FakeServer server([](size_t, Kind kind) -> FakeServer::Answers {
    if (kind == discover) return {answer(nak, 0), answer(ack, 99), answer(offer, 15)};
    return {answer(ack, 15)};
  });
  const std::optional<DhcpAnswer> got = ask_for_address(server, mac, transaction, seconds(20));
  ASSERT_TRUE(got);
  EXPECT_EQ(got->address, (Ipv4{10, 0, 2, 15}));
}

TEST(DhcpExchange, AnswersToOthers) {
  // Broadcast, so everybody hears them: of other transactions, before and behind ours.
  FakeServer server([](size_t, Kind kind) -> FakeServer::Answers {
    if (kind == discover)
      return {answer(offer, 77, transaction + 1), answer(offer, 15), answer(offer, 78, 0)};
    return {answer(nak, 0, transaction - 1), answer(ack, 77, transaction + 1), answer(ack, 15)};
  });
  const std::optional<DhcpAnswer> got = ask_for_address(server, mac, transaction, seconds(20));
  ASSERT_TRUE(got);
  EXPECT_EQ(got->address, (Ipv4{10, 0, 2, 15}));
  EXPECT_EQ(kinds(server), (std::vector<Kind>{discover, request}));

  FakeServer others([](size_t, Kind) -> FakeServer::Answers { return {answer(offer, 77, transaction + 1)}; });
  EXPECT_FALSE(ask_for_address(others, mac, transaction, seconds(5)));
  EXPECT_EQ(std::ranges::count(kinds(others), request), 0) << "an offer to somebody else is not taken";
}

TEST(DhcpExchange, NobodyThere) {
  FakeServer server([](size_t, Kind) -> FakeServer::Answers { return {}; });
  EXPECT_FALSE(ask_for_address(server, mac, transaction, seconds(20)));
  std::vector<int64_t> times;
  for (const Sent& sent : server.sent) times.push_back((sent.time - Time(5000)).count());
  EXPECT_EQ(times, (std::vector<int64_t>{0, 1000, 3000, 7000, 15000}));
  EXPECT_EQ(server.now(), Time(5000) + seconds(20)) << "no longer than it was told";
}

TEST(DhcpExchange, SilentBehindItsOffer) {
  // The first request is lost; the second server round answers.
  FakeServer server([](size_t number, Kind kind) -> FakeServer::Answers {
    if (kind == discover) return {answer(offer, 15)};
    return number == 1 ? FakeServer::Answers{} : FakeServer::Answers{answer(ack, 15)};
  });
  EXPECT_TRUE(ask_for_address(server, mac, transaction, seconds(20)));
  EXPECT_EQ(kinds(server), (std::vector<Kind>{discover, request, discover, request}));
  EXPECT_EQ(server.sent[2].time - server.sent[1].time, seconds(4));
}

}  // namespace
}  // namespace kdk
