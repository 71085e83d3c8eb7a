// The border of the C interface: the handle behind kdumpkit_dump, and how exceptions become codes. Nothing
// but these functions may throw across it, and each of them runs in guarded().
#pragma once

#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "core/base/error.h"
#include "core/diagnose/crash.h"
#include "core/kernel/ctype.h"
#include "core/kernel/memory.h"
#include "core/kernel/typed_memory.h"
#include "library/arena.h"
#include "library/include/kdumpkit/kdumpkit.h"
#include "library/opened_dump.h"

struct kdumpkit_dump {
  kdumpkit_dump(std::shared_ptr<const kdk::Dump> dump, std::string file);
  kdumpkit_dump(const kdumpkit_dump&) = delete;

  std::string file;  // as opened; several parts joined by ", "
  kdk::OpenedDump opened;
  kdk::Owned<kdumpkit_info> info;

  // Throws Error{missing} that says why there is none.
  kdk::Kernel& kernel();
  // Throws Error{missing} when the dump has no symbols.
  kdk::SymbolTable& symbols();
  kdk::CTypes& types();
  // Without help from outside of the dump.
  const kdk::Crash& crash();

 private:
  std::unique_ptr<kdk::TypedMemory> typed_memory_;
  std::unique_ptr<kdk::CTypes> types_;
  std::optional<kdk::Crash> crash_;
};

struct kdumpkit_error {
  int code = KDUMPKIT_ERROR_INTERNAL;
  std::string message = {}, hint = {}, file = {};
  std::optional<uint64_t> address = {};
  int memory = KDUMPKIT_MEMORY_OK;
};

namespace kdk {

// A handle over a dump that is open already; to be closed.
kdumpkit_dump* make_handle(std::unique_ptr<Dump> dump, std::string file);

// Thrown, and returned as its code, by what runs in guarded().
struct Refusal {
  int code;
  std::string message;
  std::optional<uint64_t> address = {};
  int memory = KDUMPKIT_MEMORY_OK;
};
[[noreturn]] inline void not_found(std::string message) {
  throw Refusal{KDUMPKIT_NOT_FOUND, std::move(message)};
}
// `memory`: enum kdumpkit_memory. Not mapped is not found; what cannot be told is a fault.
[[noreturn]] void refuse_memory(uint64_t address, int memory);

int to_public(ReadStatus status);
int to_public(Translation::Status status);
int to_public(PageState state);

// Stores the exception that is being handled, and returns its code.
int store_current(kdumpkit_error** error, std::string_view file) noexcept;
int store_argument(kdumpkit_error** error, const char* what) noexcept;

// Runs `f`, which returns nothing; what it throws becomes a code and an error.
template <typename F>
int guarded(kdumpkit_error** error, std::string_view file, F&& f) noexcept {
  if (error != nullptr) *error = nullptr;
  try {
    std::forward<F>(f)();
    return KDUMPKIT_OK;
  } catch (...) {
    return store_current(error, file);
  }
}

// A call that makes a result: `f` fills it, and it is the caller's when nothing was thrown.
template <typename Public, typename F>
int make_result(const kdumpkit_dump* dump, Public** result, kdumpkit_error** error, F&& f) noexcept {
  if (result == nullptr) return store_argument(error, "the result");
  *result = nullptr;
  if (dump == nullptr) return store_argument(error, "the dump");
  return guarded(error, dump->file, [&] {
    auto made = std::make_unique<Owned<Public>>();
    f(*made);
    *result = made.release();
  });
}

}  // namespace kdk
