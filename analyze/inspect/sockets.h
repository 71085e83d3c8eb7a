// Sockets: what two ends a struct sock connects, and in which state.
// Source: include/net/sock.h, include/net/inet_sock.h, include/net/af_unix.h, include/net/tcp_states.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "analyze/inspect/object.h"

namespace kdk {

struct Socket {
  uint64_t address = 0;                // struct sock
  std::string family, type, protocol;  // "inet6", "stream", "tcp"; a number where no name is known
  std::string state;                   // "ESTABLISHED", ...; empty: the protocol has none
  // "10.0.2.15:22", "[::]:80", a path of a unix socket ("@name" of an abstract one); empty: none. Escaped.
  std::string local, remote;
  std::optional<uint64_t> receive_bytes, send_bytes;  // queued
};

// `whole`: it is a struct sock, and not one of the small ones of a connection that is being made or has
// ended.
Socket read_socket(Objects& objects, const Object& sock, bool whole = true);
// "192.0.2.1", "2001:db8::1" of 4 or 16 bytes in network order.
std::string ip_text(Bytes address);

}  // namespace kdk
