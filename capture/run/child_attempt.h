// An Attempt in a child process: what it does reaches the parent as lines through a pipe.
#pragma once

#include <functional>
#include <memory>

#include "capture/run/supervisor.h"

namespace kdk {

// The child's end: tells the parent. Never throws; when the parent is gone nobody needs to know.
class EventPipe {
 public:
  explicit EventPipe(int fd) : fd_(fd) {}
  void send(AttemptEvent::Kind kind, std::string_view text, uint64_t amount = 0) noexcept;

 private:
  int fd_;
};

// Forks a child that calls `body` and ends. The caller must have no threads. Throws Error{io}.
std::unique_ptr<Attempt> start_child(const std::function<void(EventPipe&)>& body);

}  // namespace kdk
