#include "capture/scrub/scrub.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>

#include "capture/scrub/eraser.h"
#include "core/base/error.h"

namespace kdk {
namespace {

// A variable that is a pointer to `type`, for kernels that say nothing of it.
void scrub_pointer(const ScrubRule& rule, Eraser& eraser, VirtAddr at, TypeRef type) {
  if (rule.nullify && rule.member.empty()) {
    ++eraser.result().places;
    return eraser.erase(at, 8, 0);
  }
  const std::optional<VirtAddr> to = eraser.types().memory().pointer(at);
  if (!to) throw Error(Errc::fault, fmt::format("the pointer at {:#x} cannot be read", at.value), at.value);
  if (to->value == 0) return;
  if (rule.member.empty() && !rule.length && eraser.types().describe(type).kind == Btf::Type::Kind::character)
    return eraser.erase_string(*to);
  eraser.erase_member(rule, {*to, type});
}

void scrub_variable(const ScrubRule& rule, Eraser& eraser) {
  TypedMemory& types = eraser.types();
  const TypedMemory::Variable variable = types.variable(rule.symbol);
  std::optional<TypeRef> type = variable.type;
  if (!rule.type.empty()) type = types.require_type(rule.type);
  for (const VirtAddr at : variable.at) {
    const bool whole = rule.member.empty() && rule.length_member.empty();
    bool pointer = false;
    if (type) pointer = types.describe(*type).kind == Btf::Type::Kind::pointer;
    const bool go_on = eraser.item([&] {
      // Without a type: as much as there is up to the next symbol.
      if (whole && !rule.nullify && !pointer && !rule.pointer) {
        uint64_t size = rule.length.value_or(0);
        if (size == 0 && type) size = types.describe(*type).size;
        if (size == 0) size = variable.size;
        if (size == 0) throw Error(Errc::missing, "its size is unknown: give type or length");
        ++eraser.result().places;
        eraser.erase(at, size);
        return;
      }
      if (rule.pointer) return scrub_pointer(rule, eraser, at, *type);
      if (!type) throw Error(Errc::missing, "the kernel does not say of what type it is: give type");
      eraser.erase_member(rule, {at, *type});
    });
    if (!go_on) return;
  }
}

void carry_out(const ScrubRule& rule, Eraser& eraser) {
  switch (rule.kind) {
    case ScrubRule::Kind::variable:
      return scrub_variable(rule, eraser);
    case ScrubRule::Kind::list:
      return scrub_list(rule, eraser);
    case ScrubRule::Kind::cache:
      return scrub_cache(rule, eraser);
    case ScrubRule::Kind::range:
      ++eraser.result().places;
      return rule.physical ? eraser.erase(PhysAddr{rule.address}, rule.length.value_or(0))
                           : eraser.erase(VirtAddr{rule.address}, rule.length.value_or(0));
    case ScrubRule::Kind::keys:
      return rule.keys == ScrubRule::Keys::keyrings ? scrub_keyrings(eraser) : scrub_dm_crypt(eraser);
  }
}

// The one kind of rule that needs nothing but the dump.
void scrub_physical(const ScrubRule& rule, const Dump& dump, Erasure& erasure, ScrubbedRule& result) {
  const uint64_t page_size = dump.info().page_size;
  PhysAddr at{rule.address};
  ++result.places;
  for (uint64_t left = rule.length.value_or(0); left != 0;) {
    const uint64_t part = std::min(left, page_size - at.value % page_size);
    if (dump.state({at.value / page_size}) != PageState::present) {
      result.absent_bytes += part;
    } else if (erasure.add(at, part)) {
      result.bytes += part;
    } else {
      result.problem = "there is too much to erase";
      return;
    }
    at = at + part;
    left -= part;
  }
}

}  // namespace

std::string Scrub::eraseinfo() const {
  std::string text;
  for (const ScrubbedRule& rule : rules) {
    if (rule.bytes == 0) continue;
    text += rule.nullified ? fmt::format("erase {} nullify\n", rule.name)
                           : fmt::format("erase {} size {}\n", rule.name, rule.bytes);
  }
  return text;
}

Scrub find_erasure(const ScrubRules& rules, const Dump& dump, Kernel* kernel,
                   const std::string& why_no_kernel, Erasure& erasure, const std::atomic<bool>& stop) {
  Scrub scrub;
  scrub.file = rules.file.string();
  std::optional<TypedMemory> types;
  if (kernel != nullptr) types.emplace(*kernel);
  for (const ScrubRule& rule : rules.rules) {
    ScrubbedRule result;
    result.name = rule.name;
    result.optional = rule.optional;
    result.nullified = rule.nullify;
    if (rule.kind == ScrubRule::Kind::range && rule.physical) {
      scrub_physical(rule, dump, erasure, result);
    } else if (!types) {
      result.problem = why_no_kernel;
    } else {
      Eraser eraser(*types, erasure, result, stop);
      try {
        if (stop) throw Error(Errc::io, "interrupted");
        carry_out(rule, eraser);
      } catch (const Error& e) {  // a list item
        eraser.problem(e.message());
      } catch (const std::bad_alloc&) {
        eraser.problem("out of memory");
      }
      eraser.finish();
    }
    scrub.rules.push_back(std::move(result));
  }
  return scrub;
}

}  // namespace kdk
