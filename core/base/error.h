// The one exception type of kdumpkit.
//
// Rules (see DESIGN "Errors"): thrown where an operation *failed*; expected absence (page excluded, symbol not found,
// address unmapped) is std::optional or an enum and never thrown. Caught only at run_main, a report section, a list
// item, a worker thread, a fuzz target. Context is added level by level with with_context().
#pragma once

#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace kdk {

enum class Errc {
  io,           // the operating system refused: errno is in the text
  format,       // the input contradicts its own format
  unsupported,  // valid, but not something this program handles
  missing,      // a needed thing is not there (file, VMCOREINFO key, symbol)
  fault,        // an address of the dumped machine could not be read; address() is set
  denied,       // no permission; the text says which
};

std::string_view to_string(Errc code);

class Error : public std::exception {
 public:
  // `message` is "why"; callers above put "what: " in front. No trailing full stop.
  Error(Errc code, std::string message) : code_(code), message_(std::move(message)) {}
  Error(Errc code, std::string message, uint64_t address)
      : code_(code), message_(std::move(message)), address_(address) {}

  Errc code() const { return code_; }
  const std::string& message() const { return message_; }
  // The virtual or physical address for Errc::fault.
  std::optional<uint64_t> address() const { return address_; }
  // What the user can do about it; printed after the message. Empty when there is nothing to say.
  const std::string& hint() const { return hint_; }

  Error& with_hint(std::string hint) & {
    hint_ = std::move(hint);
    return *this;
  }
  Error&& with_hint(std::string hint) && {
    hint_ = std::move(hint);
    return std::move(*this);
  }
  // Puts "context: " before the message.
  void add_context(std::string_view context) { message_ = std::string(context) + ": " + message_; }

  const char* what() const noexcept override { return message_.c_str(); }

 private:
  Errc code_;
  std::string message_;
  std::optional<uint64_t> address_;
  std::string hint_;
};

// Error{io, or denied for EPERM/EACCES, or missing for ENOENT} whose message is "context: strerror(errno)".
// `errno_value` is errno at the failed call.
Error error_from_errno(int errno_value, std::string_view context);

// Runs `f`; an Error that leaves it gets "context: " in front. `context` is evaluated by the caller: keep it cheap.
template <typename F>
decltype(auto) with_context(std::string_view context, F&& f) {
  try {
    return std::forward<F>(f)();
  } catch (Error& e) {
    e.add_context(context);
    throw;
  }
}

}  // namespace kdk
