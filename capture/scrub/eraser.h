// Puts places of the kernel's memory onto the list of what is erased, and keeps the count of one rule.
// Private to capture/scrub.
#pragma once

#include "capture/scrub/scrub.h"
#include "core/kernel/typed_memory.h"

namespace kdk {

class Eraser {
 public:
  Eraser(TypedMemory& types, Erasure& erasure, ScrubbedRule& result, const std::atomic<bool>& stop)
      : types_(types), erasure_(erasure), result_(result), stop_(stop) {}

  TypedMemory& types() { return types_; }
  ScrubbedRule& result() { return result_; }

  // `size` bytes at `at`. Memory that is not mapped becomes the rule's problem; pages that the dump has not
  // are counted. Throws Error{unsupported} when it is too much to erase.
  void erase(VirtAddr at, uint64_t size, uint8_t fill = Erasure::filler);
  void erase(PhysAddr at, uint64_t size, uint8_t fill = Erasure::filler);

  // The string at `at`, up to its NUL.
  void erase_string(VirtAddr at);

  // What a rule wants of the variable or element at `base`. Throws Error.
  void erase_member(const ScrubRule& rule, const TypedPlace& base);

  // Keeps the first problem, counts the others.
  void problem(const std::string& what);
  // Runs `f` for one of many items; an Error becomes a problem. False when it is time to stop.
  template <typename F>
  bool item(F&& f) {
    if (stop_) {
      problem("interrupted");
      return false;
    }
    try {
      f();
    } catch (const Error& e) {
      problem(e.message());
      return e.code() != Errc::unsupported;  // too much, or of a wrong type: the same for the next item
    }
    return true;
  }
  // After the last: puts the count of problems into words.
  void finish();

 private:
  void erase_target(const ScrubRule& rule, const TypedPlace& base, TypedPlace place);
  std::optional<uint64_t> length_of(const ScrubRule& rule, const TypedPlace& base);

  TypedMemory& types_;
  Erasure& erasure_;
  ScrubbedRule& result_;
  const std::atomic<bool>& stop_;
  uint64_t problems_ = 0;
};

// The kinds of rules, each in a file of its own. They throw Error for what stops the whole rule.
void scrub_list(const ScrubRule& rule, Eraser& eraser);
void scrub_cache(const ScrubRule& rule, Eraser& eraser);
void scrub_keyrings(Eraser& eraser);
void scrub_dm_crypt(Eraser& eraser);

}  // namespace kdk
