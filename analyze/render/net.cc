// `net`: text and JSON (schemas/analyze-net.schema.json).
#include "analyze/render/net.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "analyze/render/json_parts.h"

namespace kdk {
namespace {

using nlohmann::ordered_json;

template <typename T>
std::string number(const std::optional<T>& value) {
  return value ? fmt::format("{}", *value) : "?";
}

std::string interface_rows(const Interface& one) {
  std::string state = one.state.empty() ? "?" : one.state;
  if (one.carrier == false) state += ", no carrier";
  std::string out = fmt::format("  {:<4} {:<15} {:<18} mtu {:<6} {}\n", number(one.index), one.name, state,
                                number(one.mtu), one.flags ? interface_flags(*one.flags) : "?");
  const std::string indent(7, ' ');
  if (!one.hardware_address.empty()) out += fmt::format("{}link  {}\n", indent, one.hardware_address);
  for (const InterfaceAddress& address : one.addresses)
    out += fmt::format("{}{} {}/{}\n", indent, address.six ? "inet6" : "inet ", address.address,
                       number(address.prefix_bits));
  out += fmt::format("{}struct net_device {:016x}", indent, one.address);
  if (!one.operations.empty()) out += fmt::format(", {}", one.operations);
  return out + '\n';
}

ordered_json to_json(const Interface& one) {
  ordered_json addresses = ordered_json::array();
  for (const InterfaceAddress& address : one.addresses) {
    addresses.push_back({{"family", address.six ? "inet6" : "inet"},
                         {"address", json::text(address.address)},
                         {"prefix_bits", json::integer(address.prefix_bits)}});
  }
  ordered_json out;
  out["address"] = json::hex(one.address);
  out["name"] = json::text(one.name);
  out["index"] = one.index ? ordered_json(*one.index) : ordered_json(nullptr);
  out["state"] = json::text(one.state);
  out["carrier"] = one.carrier ? ordered_json(*one.carrier) : ordered_json(nullptr);
  out["flags"] = json::hex(one.flags);
  out["mtu"] = one.mtu ? ordered_json(*one.mtu) : ordered_json(nullptr);
  out["hardware_address"] = json::text(one.hardware_address);
  out["operations"] = json::text(one.operations);
  out["addresses"] = std::move(addresses);
  return out;
}

}  // namespace

namespace text {

std::string socket(const Socket& socket) {
  std::string out =
      socket.protocol.empty() ? fmt::format("{} {}", socket.family, socket.type) : socket.protocol;
  if (!socket.local.empty()) out += " " + socket.local;
  if (!socket.remote.empty()) out += " -> " + socket.remote;
  if (!socket.state.empty()) out += " " + socket.state;
  return out;
}

}  // namespace text

namespace json {

ordered_json socket(const Socket& socket) {
  ordered_json out;
  out["address"] = hex(socket.address);
  out["family"] = text(socket.family);
  out["type"] = text(socket.type);
  out["protocol"] = text(socket.protocol);
  out["state"] = text(socket.state);
  out["local"] = text(socket.local);
  out["remote"] = text(socket.remote);
  out["receive_bytes"] = integer(socket.receive_bytes);
  out["send_bytes"] = integer(socket.send_bytes);
  return out;
}

ordered_json redaction(const Redaction& redaction) {
  ordered_json counts = ordered_json::object();
  for (const auto& [kind, count] : redaction.counts) counts[kind] = integer(count);
  return {{"level", to_string(redaction.level)}, {"counts", std::move(counts)}};
}

}  // namespace json

std::string to_text(const Answer<NetworkAnswer>& answer) {
  const Network& facts = answer.facts.facts;
  std::string out;
  for (const NetworkNamespace& space : facts.namespaces) {
    out += fmt::format(
        "{}{}, struct net {:016x}\n", out.empty() ? "" : "\n",
        space.initial ? std::string("The first namespace") : fmt::format("Namespace {}", number(space.inode)),
        space.address);
    for (const Interface& one : space.interfaces) out += interface_rows(one);
    if (!facts.with_sockets) continue;
    for (const Socket& socket : space.sockets)
      out += fmt::format("  {:016x}  {}{}\n", socket.address, text::socket(socket),
                         socket.receive_bytes.value_or(0) + socket.send_bytes.value_or(0) == 0
                             ? std::string()
                             : fmt::format(", {} bytes received, {} to be sent",
                                           socket.receive_bytes.value_or(0), socket.send_bytes.value_or(0)));
    out += fmt::format("  {} TCP and UDP sockets\n", space.sockets.size());
  }
  return out;
}

std::string to_json_text(const Answer<NetworkAnswer>& answer) {
  const Network& facts = answer.facts.facts;
  ordered_json out = json::envelope("analyze-net", answer.input, answer.limits);
  out["evidence"] = json::evidence(answer.evidence);
  ordered_json spaces = ordered_json::array();
  for (const NetworkNamespace& space : facts.namespaces) {
    ordered_json interfaces = ordered_json::array(), sockets = nullptr;
    for (const Interface& one : space.interfaces) interfaces.push_back(to_json(one));
    if (facts.with_sockets) {
      sockets = ordered_json::array();
      for (const Socket& socket : space.sockets) sockets.push_back(json::socket(socket));
    }
    spaces.push_back({{"address", json::hex(space.address)},
                      {"inode", json::integer(space.inode)},
                      {"initial", space.initial},
                      {"interfaces", std::move(interfaces)},
                      {"sockets", std::move(sockets)}});
  }
  out["namespaces"] = std::move(spaces);
  out["redaction"] = json::redaction(answer.facts.redaction);
  out["limits"] = json::limits(answer.limits);
  return json::dump(out);
}

}  // namespace kdk
