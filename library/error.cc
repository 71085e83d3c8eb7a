// Codes, errors, versions.
#include "library/handle.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

using namespace kdk;

namespace kdk {
namespace {

// Given out when there is no memory for another one.
kdumpkit_error& out_of_memory() {
  static kdumpkit_error error{.code = KDUMPKIT_ERROR_MEMORY, .message = "out of memory"};
  return error;
}

int to_public(Errc code) {
  switch (code) {
    case Errc::io:
      return KDUMPKIT_ERROR_IO;
    case Errc::format:
      return KDUMPKIT_ERROR_FORMAT;
    case Errc::unsupported:
      return KDUMPKIT_ERROR_UNSUPPORTED;
    case Errc::missing:
      return KDUMPKIT_ERROR_MISSING;
    case Errc::fault:
      return KDUMPKIT_ERROR_FAULT;
    case Errc::denied:
      return KDUMPKIT_ERROR_DENIED;
  }
  return KDUMPKIT_ERROR_INTERNAL;
}

int store(kdumpkit_error** error, kdumpkit_error value) {
  const int code = value.code;
  if (error != nullptr) *error = new kdumpkit_error(std::move(value));
  return code;
}

int store_memory(kdumpkit_error** error) noexcept {
  if (error != nullptr) *error = &out_of_memory();
  return KDUMPKIT_ERROR_MEMORY;
}

int store_current_or_throw(kdumpkit_error** error, std::string_view file) {
  try {
    throw;
  } catch (const Refusal& refusal) {
    if (error == nullptr) return refusal.code;
    return store(error, {.code = refusal.code,
                         .message = escape_untrusted(refusal.message),
                         .file = std::string(file),
                         .address = refusal.address,
                         .memory = refusal.memory});
  } catch (const Error& e) {
    return store(error, {.code = to_public(e.code()),
                         .message = escape_untrusted(e.message()),
                         .hint = e.hint(),
                         .file = std::string(file),
                         .address = e.address()});
  } catch (const std::bad_alloc&) {
    return store_memory(error);
  } catch (const std::length_error&) {  // of a container that was asked to hold more than it can
    return store_memory(error);
  } catch (const std::exception& e) {
    return store(error, {.code = KDUMPKIT_ERROR_INTERNAL, .message = e.what(), .file = std::string(file)});
  }
}

}  // namespace

int store_current(kdumpkit_error** error, std::string_view file) noexcept {
  try {
    return store_current_or_throw(error, file);
  } catch (...) {
    return store_memory(error);  // for the error itself
  }
}

int store_argument(kdumpkit_error** error, const char* what) noexcept {
  return guarded(error, "", [&] { throw Refusal{KDUMPKIT_ERROR_ARGUMENT, fmt::format("{} is NULL", what)}; });
}

void refuse_memory(uint64_t address, int memory) {
  const int code = memory == KDUMPKIT_MEMORY_UNMAPPED ? KDUMPKIT_NOT_FOUND : KDUMPKIT_ERROR_FAULT;
  throw Refusal{code, fmt::format("address {:#018x}: {}", address, kdumpkit_memory_name(memory)), address,
                memory};
}

int to_public(ReadStatus status) {
  switch (status) {
    case ReadStatus::ok:
      return KDUMPKIT_MEMORY_OK;
    case ReadStatus::unmapped:
      return KDUMPKIT_MEMORY_UNMAPPED;
    case ReadStatus::table_unavailable:
      return KDUMPKIT_MEMORY_TABLE_UNAVAILABLE;
    case ReadStatus::not_kernel:
      return KDUMPKIT_MEMORY_NOT_KERNEL;
    case ReadStatus::excluded:
      return KDUMPKIT_MEMORY_EXCLUDED;
    case ReadStatus::missing:
      return KDUMPKIT_MEMORY_MISSING;
    case ReadStatus::unreadable:
      break;
  }
  return KDUMPKIT_MEMORY_UNREADABLE;
}

int to_public(Translation::Status status) {
  switch (status) {
    case Translation::Status::mapped:
      return KDUMPKIT_MEMORY_OK;
    case Translation::Status::unmapped:
      return KDUMPKIT_MEMORY_UNMAPPED;
    case Translation::Status::table_unavailable:
      return KDUMPKIT_MEMORY_TABLE_UNAVAILABLE;
    case Translation::Status::not_kernel:
      break;
  }
  return KDUMPKIT_MEMORY_NOT_KERNEL;
}

int to_public(PageState state) {
  switch (state) {
    case PageState::present:
      return KDUMPKIT_MEMORY_OK;
    case PageState::excluded:
      return KDUMPKIT_MEMORY_EXCLUDED;
    case PageState::missing:
      return KDUMPKIT_MEMORY_MISSING;
    case PageState::unreadable:
      break;
  }
  return KDUMPKIT_MEMORY_UNREADABLE;
}

}  // namespace kdk

uint32_t kdumpkit_version(void) {
  return KDUMPKIT_VERSION;
}

const char* kdumpkit_version_string(void) {
  return KDK_VERSION;
}

const char* kdumpkit_code_name(int code) {
  switch (code) {
    case KDUMPKIT_OK:
      return "ok";
    case KDUMPKIT_NOT_FOUND:
      return "not found";
    case KDUMPKIT_ERROR_IO:
      return "io";
    case KDUMPKIT_ERROR_FORMAT:
      return "format";
    case KDUMPKIT_ERROR_UNSUPPORTED:
      return "unsupported";
    case KDUMPKIT_ERROR_MISSING:
      return "missing";
    case KDUMPKIT_ERROR_FAULT:
      return "fault";
    case KDUMPKIT_ERROR_DENIED:
      return "denied";
    case KDUMPKIT_ERROR_ARGUMENT:
      return "argument";
    case KDUMPKIT_ERROR_MEMORY:
      return "memory";
    case KDUMPKIT_ERROR_VERSION:
      return "version";
    case KDUMPKIT_ERROR_INTERNAL:
      return "internal";
    default:
      return "unknown";
  }
}

const char* kdumpkit_memory_name(int memory) {
  switch (memory) {
    case KDUMPKIT_MEMORY_OK:
      return to_string(ReadStatus::ok).data();
    case KDUMPKIT_MEMORY_UNMAPPED:
      return to_string(ReadStatus::unmapped).data();
    case KDUMPKIT_MEMORY_TABLE_UNAVAILABLE:
      return to_string(ReadStatus::table_unavailable).data();
    case KDUMPKIT_MEMORY_NOT_KERNEL:
      return to_string(ReadStatus::not_kernel).data();
    case KDUMPKIT_MEMORY_EXCLUDED:
      return to_string(ReadStatus::excluded).data();
    case KDUMPKIT_MEMORY_MISSING:
      return to_string(ReadStatus::missing).data();
    case KDUMPKIT_MEMORY_UNREADABLE:
      return to_string(ReadStatus::unreadable).data();
    default:
      return "unknown";
  }
}

int kdumpkit_error_code(const kdumpkit_error* error) {
  return error == nullptr ? KDUMPKIT_OK : error->code;
}

const char* kdumpkit_error_message(const kdumpkit_error* error) {
  return error == nullptr ? "" : error->message.c_str();
}

const char* kdumpkit_error_hint(const kdumpkit_error* error) {
  return error == nullptr ? "" : error->hint.c_str();
}

const char* kdumpkit_error_file(const kdumpkit_error* error) {
  return error == nullptr ? "" : error->file.c_str();
}

int kdumpkit_error_address(const kdumpkit_error* error, uint64_t* address) {
  if (error == nullptr || !error->address) return 0;
  if (address != nullptr) *address = *error->address;
  return 1;
}

int kdumpkit_error_memory(const kdumpkit_error* error) {
  return error == nullptr ? KDUMPKIT_MEMORY_OK : error->memory;
}

void kdumpkit_error_free(kdumpkit_error* error) {
  if (error != &out_of_memory()) delete error;
}

size_t kdumpkit_escape(const char* text, size_t text_size, char* out, size_t out_size) {
  const bool room = out != nullptr && out_size != 0;
  if (room) out[0] = '\0';
  if (text == nullptr) return 0;
  try {
    const std::string escaped = escape_untrusted({text, text_size});
    if (room) {
      const size_t n = std::min(escaped.size(), out_size - 1);
      std::memcpy(out, escaped.data(), n);
      out[n] = '\0';
    }
    return escaped.size();
  } catch (const std::bad_alloc&) {
    return 0;
  }
}
