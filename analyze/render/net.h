// Renderings of the network: net, and sockets wherever they are shown.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>

#include "analyze/inspect/network.h"
#include "analyze/triage/report.h"

namespace kdk {

struct NetworkAnswer {
  Network facts;
  Redaction redaction;
};
std::string to_text(const Answer<NetworkAnswer>& answer);
std::string to_json_text(const Answer<NetworkAnswer>& answer);

namespace text {
// "tcp 10.0.2.15:22 <- 10.0.2.2:4711 ESTABLISHED".
std::string socket(const Socket& socket);
}  // namespace text

namespace json {
nlohmann::ordered_json socket(const Socket& socket);
nlohmann::ordered_json redaction(const Redaction& redaction);
}  // namespace json

}  // namespace kdk
