// The way to a server: routes as the kernel prints them, interfaces of a small machine made of files.
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "capture/initramfs/network_path.h"
#include "core/base/error.h"

namespace kdk {
namespace {

namespace fs = std::filesystem;

constexpr const char* routes_v4 =
    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
    "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
    "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    "br0\t0000010A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
    "eth9\t0000020A\t00000000\t0200\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
constexpr const char* routes_v6 =
    "20010db8000000000000000000000000 40 00000000000000000000000000000000 00 "
    "00000000000000000000000000000000 00000100 00000001 00000000 "
    "00000001     eth1\n"
    "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
    "fe800000000000000000000000000001 00000400 00000001 00000000 "
    "00000003     eth1\n"
    "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
    "00000000000000000000000000000000 ffffffff 00000001 00000000 "
    "00200200       lo\n";

TEST(Routes, TheLongestPrefix) {
  std::vector<Route> routes = parse_routes_v4(routes_v4);
  ASSERT_EQ(routes.size(), 3) << "one is down";
  EXPECT_EQ(routes[0].gateway, "192.0.2.1");
  EXPECT_EQ(route_to(routes, "192.0.2.7")->gateway, "");
  EXPECT_EQ(route_to(routes, "10.1.200.3")->interface, "br0");
  EXPECT_EQ(route_to(routes, "198.51.100.1")->gateway, "192.0.2.1");
  EXPECT_EQ(route_to(routes, "2001:db8::1"), nullptr);
  const std::vector<Route> v6 = parse_routes_v6(routes_v6);
  ASSERT_EQ(v6.size(), 2);
  EXPECT_EQ(route_to(v6, "2001:db8::7")->gateway, "");
  EXPECT_EQ(route_to(v6, "2001:db9::7")->gateway, "fe80::1");
  EXPECT_EQ(route_to(v6, "192.0.2.7"), nullptr);
}

TEST(Routes, OddLinesAreErrors) {
  EXPECT_THROW((void)parse_routes_v4("head\neth0 zz 0 0001 0 0 0 0 0 0 0\n"), Error);
  EXPECT_THROW((void)parse_routes_v4("head\neth0 0\n"), Error);
  EXPECT_THROW((void)parse_routes_v4("head\neth0 0 0 0001 0 0 0 00FF00FF 0 0 0\n"), Error);
  EXPECT_THROW((void)parse_routes_v6("20010db8 40\n"), Error);
}

TEST(Server, OfEachKind) {
  RunTarget target;
  target.kind = TargetKind::nfs;
  target.server = "nas";
  EXPECT_EQ(server_of(target), "nas");
  target.kind = TargetKind::ssh;
  target.server = "kdump@host.example";
  EXPECT_EQ(server_of(target), "host.example");
  target.kind = TargetKind::http;
  for (const auto& [url, host] :
       std::vector<std::pair<std::string, std::string>>{{"https://h.example/x/", "h.example"},
                                                        {"http://u@h:8080/", "h"},
                                                        {"http://[2001:db8::1]:80/x/", "2001:db8::1"}}) {
    target.url = url;
    EXPECT_EQ(server_of(target), host);
  }
  target.url = "http:///x/";
  EXPECT_THROW((void)server_of(target), Error);
  EXPECT_EQ(look_up("192.0.2.1"), "192.0.2.1");
  EXPECT_THROW((void)look_up("nobody.invalid"), Error);
}

class Machine {
 public:
  Machine() {
    std::string name = testing::TempDir() + "kdk-network-XXXXXX";
    path = ::mkdtemp(name.data());
    write("sys/class/net/eth0/address", "52:54:00:12:34:56\n");
    write("sys/class/net/eth0/device/x", "");
    write("sys/class/net/tap0/address", "52:54:00:12:34:57\n");
    write("sys/class/net/br0/brif/eth0", "");
    write("sys/class/net/br0/brif/tap0", "");
    write("sys/class/net/bond0/address", "52:54:00:12:34:58\n");
    write("sys/class/net/ib0/address", "80:00:02:08:fe:80:00:00:00:00:00:00:00:02:c9:03:00:00:00:01\n");
    write("sys/class/net/ib0/device/x", "");
  }
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  ~Machine() { fs::remove_all(path); }
  void write(const std::string& file, const std::string& text) const {
    fs::create_directories((path / file).parent_path());
    std::ofstream(path / file) << text;
  }
  NetworkConfig crash(const std::string& interface) const {
    NetworkConfig wanted;
    wanted.interface = interface;
    return crash_network(SysRoot(path), wanted, parse_routes_v4(routes_v4));
  }
  fs::path path;
};

TEST(CrashNetwork, ByItsMacAddress) {
  const Machine machine;
  const NetworkConfig network = machine.crash("eth0");
  EXPECT_EQ(network.mac, parse_mac("52:54:00:12:34:56"));
  EXPECT_EQ(network.method, AddressMethod::dhcp);
  EXPECT_EQ(network.gateways, std::vector<std::string>{"192.0.2.1"});
}

TEST(CrashNetwork, ABridgeIsItsPort) {
  const Machine machine;
  EXPECT_EQ(machine.crash("br0").interface, "eth0");
}

TEST(CrashNetwork, WhatSoftwareMakesIsRefused) {
  const Machine machine;
  for (const auto& [interface, words] :
       std::vector<std::pair<std::string, std::string>>{{"bond0", "is made by software"},
                                                        {"eth7", "there is no network interface eth7"},
                                                        {"ib0", "is no Ethernet"}}) {
    try {
      (void)machine.crash(interface);
      ADD_FAILURE() << interface;
    } catch (const Error& e) {
      EXPECT_NE(e.message().find(words), std::string::npos) << e.message();
    }
  }
}

}  // namespace
}  // namespace kdk
