#include "analyze/unwind/variables.h"

#include <dwarf.h>
#include <elf.h>
#include <fmt/format.h>

#include <algorithm>

#include "analyze/symbols/dwarf_scopes.h"
#include "analyze/unwind/dwarf_values.h"
#include "analyze/unwind/location.h"
#include "core/base/log.h"

namespace kdk {
namespace {

constexpr size_t max_items = 200;     // of one function
constexpr size_t max_dies = 200'000;  // looked at for one call site
constexpr unsigned max_callers = 4;   // an argument may be the caller's own argument
constexpr unsigned max_pointers = 4;  // a pointer to a pointer, each nowhere in memory
constexpr uint64_t max_object = 65536;
constexpr uint64_t return_address_bytes = 8;

// A frame with what its variables are described by.
struct State {
  Registers registers;
  std::optional<uint64_t> cfa;
  uint64_t pc = 0;  // of the instruction, or inside the call
  uint64_t load_offset = 0;
  std::vector<Dwarf_Die> scopes;
  std::optional<size_t> caller;  // that called this function: index
};

bool has_flag(Dwarf_Die* die, unsigned name) {
  Dwarf_Attribute attribute;
  bool value = false;
  return dwarf_attr_integrate(die, name, &attribute) != nullptr && dwarf_formflag(&attribute, &value) == 0 &&
         value;
}

// The first of two attributes: that of DWARF 5, and what GNU compilers wrote before.
Dwarf_Attribute* either(Dwarf_Die* die, unsigned name, unsigned gnu, Dwarf_Attribute* storage) {
  Dwarf_Attribute* found = dwarf_attr(die, name, storage);
  return found != nullptr ? found : dwarf_attr(die, gnu, storage);
}

class Reader {
 public:
  Reader(Kernel& kernel, const SourceLookup& sources, CallFrameInfo& cfi, const Backtrace& trace,
         const std::function<std::string(uint64_t)>& note)
      : kernel_(kernel), sources_(sources), cfi_(cfi), trace_(trace), note_(note) {}

  std::vector<FunctionVariables> run(const std::optional<Registers>& start) {
    follow(start);
    std::vector<FunctionVariables> out;
    for (size_t i = 0; i < states_.size(); ++i) functions_of(i, out);
    return out;
  }

 private:
  void follow(std::optional<Registers> registers) {
    const RegisterRoles& roles = kernel_.memory().arch().roles();
    const bool x86_64 = kernel_.memory().arch().elf_machine() == EM_X86_64;
    states_.resize(trace_.frames.size());
    std::optional<size_t> inner;  // the frame that this one called
    for (size_t i = 0; i < trace_.frames.size(); ++i) {
      const Frame& frame = trace_.frames[i];
      State& state = states_[i];
      if (frame.registers) registers = frame.registers;
      const auto pc = registers ? registers->get(roles.pc) : std::nullopt;
      const bool followed =
          pc && kernel_.memory().arch().strip(*pc, kernel_.memory().layout()).value == frame.pc;
      if (frame.kind == FrameKind::lr_candidate && !followed) {
        inner.reset();  // no frame at all, or one of which nothing is known
        continue;
      }
      state.pc = frame.pc_is_return_address ? frame.pc - 1 : frame.pc;
      find_scopes(state, !frame.module.empty());
      if (frame.kind == FrameKind::exception) inner.reset();
      if (followed) {
        state.registers = *registers;
      } else if (x86_64 && frame.at && frame.pc_is_return_address &&
                 (frame.trust == Trust::orc || frame.trust == Trust::cfi)) {
        // The return address was found there: the stack pointer is behind it.
        state.registers.set(roles.pc, frame.pc);
        state.registers.set(roles.sp, *frame.at + return_address_bytes);
      } else {
        state.registers.set(roles.pc, frame.pc);
      }
      if (inner && frame.pc_is_return_address) {
        states_[*inner].caller = i;
        // The canonical frame address of who was called is the stack pointer here, before the call.
        if (!states_[*inner].cfa && x86_64) states_[*inner].cfa = state.registers.get(roles.sp);
      }
      inner = i;
      const auto caller = cfi_.caller(kernel_.memory(), state.registers, frame.pc_is_return_address);
      registers = caller && !caller->outermost ? std::optional(caller->registers) : std::nullopt;
      if (registers) state.cfa = registers->get(roles.sp);
    }
  }

  void find_scopes(State& state, bool in_module) {
    DwarfReader* reader = nullptr;
    if (in_module) {
      reader = sources_.modules != nullptr ? sources_.modules->dwarf(state.pc) : nullptr;
    } else if (sources_.vmlinux != nullptr) {
      reader = sources_.vmlinux->dwarf();
      state.load_offset = sources_.vmlinux->kaslr_offset();
    }
    if (reader != nullptr) state.scopes = scopes_at(*reader, state.pc - state.load_offset);
  }

  // Calls `use` with the context of a frame.
  template <typename Use>
  auto in_frame(size_t index, unsigned depth, Use&& use) {
    State& state = states_[index];
    Dwarf_Attribute base;
    FrameContext context{kernel_.memory(), state.registers, state.load_offset, state.pc, state.cfa};
    if (!state.scopes.empty())
      context.frame_base = dwarf_attr_integrate(&state.scopes[0], DW_AT_frame_base, &base);
    context.at_entry = [this, index, depth](unsigned number) { return at_entry(index, number, depth + 1); };
    return use(context);
  }

  // DWARF 5 section 3.4: the call site in the caller says what it passed in registers, where it still can be
  // told.
  std::optional<uint64_t> at_entry(size_t index, unsigned number, unsigned depth) {
    const std::optional<size_t> caller = states_[index].caller;
    if (!caller || depth > max_callers || states_[*caller].scopes.empty()) return std::nullopt;
    State& state = states_[*caller];
    Dwarf_Die site;
    size_t budget = max_dies;
    const uint64_t return_address = trace_.frames[*caller].pc - state.load_offset;
    if (!find_call_site(&state.scopes[0], return_address, site, budget, 0)) return std::nullopt;
    if (!calls(site, index, *caller, depth)) return std::nullopt;
    Dwarf_Die parameter;
    if (dwarf_child(&site, &parameter) != 0) return std::nullopt;
    do {
      const int tag = dwarf_tag(&parameter);
      if (tag != DW_TAG_call_site_parameter && tag != DW_TAG_GNU_call_site_parameter) continue;
      Dwarf_Attribute attribute;
      Dwarf_Op* ops = nullptr;
      size_t count = 0;
      if (dwarf_attr(&parameter, DW_AT_location, &attribute) == nullptr ||
          dwarf_getlocation(&attribute, &ops, &count) != 0 || count != 1) {
        continue;
      }
      const bool it =
          ops[0].atom == DW_OP_regx ? ops[0].number == number : ops[0].atom == DW_OP_reg0 + number;
      if (!it || number > 31) continue;
      Dwarf_Attribute storage;
      Dwarf_Attribute* value = either(&parameter, DW_AT_call_value, DW_AT_GNU_call_site_value, &storage);
      if (value == nullptr) return std::nullopt;
      return in_frame(*caller, depth, [&](const FrameContext& context) { return value_of(value, context); });
    } while (dwarf_siblingof(&parameter, &parameter) == 0);
    return std::nullopt;
  }

  static bool find_call_site(Dwarf_Die* parent, uint64_t return_address, Dwarf_Die& site, size_t& budget,
                             unsigned depth) {
    Dwarf_Die child;
    if (depth > 64 || dwarf_child(parent, &child) != 0) return false;
    do {
      if (budget-- == 0) return false;
      const int tag = dwarf_tag(&child);
      if (tag == DW_TAG_call_site || tag == DW_TAG_GNU_call_site) {
        Dwarf_Attribute storage;
        Dwarf_Addr at = 0;
        Dwarf_Attribute* pc = either(&child, DW_AT_call_return_pc, DW_AT_low_pc, &storage);
        if (pc != nullptr && dwarf_formaddr(pc, &at) == 0 && at == return_address) {
          site = child;
          return true;
        }
      } else if (tag == DW_TAG_lexical_block || tag == DW_TAG_inlined_subroutine) {
        if (find_call_site(&child, return_address, site, budget, depth + 1)) return true;
      }
    } while (dwarf_siblingof(&child, &child) == 0);
    return false;
  }

  // Whether the call at `site` is of the function that has the frame: it may have been left for it by a jump
  // (tail call), and then its arguments are not those of the call.
  bool calls(Dwarf_Die site, size_t index, size_t caller, unsigned depth) {
    if (states_[index].scopes.empty()) return false;
    Dwarf_Die function = states_[index].scopes[0];
    Dwarf_Attribute storage;
    Dwarf_Die origin;
    Dwarf_Attribute* attribute = either(&site, DW_AT_call_origin, DW_AT_abstract_origin, &storage);
    if (attribute != nullptr) {
      if (dwarf_formref_die(attribute, &origin) == nullptr) return false;
      return name_of(origin) == name_of(function);
    }
    attribute = either(&site, DW_AT_call_target, DW_AT_GNU_call_site_target, &storage);
    if (attribute == nullptr) return false;
    const std::optional<uint64_t> target =
        in_frame(caller, depth, [&](const FrameContext& context) { return value_of(attribute, context); });
    Dwarf_Addr entry = 0;
    return target && dwarf_entrypc(&function, &entry) == 0 && *target == entry + states_[index].load_offset;
  }

  // The inlined functions and the function itself, innermost first.
  void functions_of(size_t index, std::vector<FunctionVariables>& out) {
    State& state = states_[index];
    const Frame& frame = trace_.frames[index];
    std::vector<size_t> begins;  // of functions among the scopes, outermost first
    for (size_t i = 0; i < state.scopes.size(); ++i) {
      if (dwarf_tag(&state.scopes[i]) != DW_TAG_lexical_block) begins.push_back(i);
    }
    // As many as the trace shows: one reading of the same scopes.
    if (begins.size() != frame.inlines.size() + 1) return;
    for (size_t i = 0; i < begins.size(); ++i) {
      const size_t level = begins.size() - 1 - i;  // innermost first
      const size_t end = level + 1 < begins.size() ? begins[level + 1] : state.scopes.size();
      FunctionVariables function;
      function.frame = index;
      function.inlined = i;
      function.function = i < frame.inlines.size() ? frame.inlines[i].function : frame.symbol;
      for (int tag : {DW_TAG_formal_parameter, DW_TAG_variable}) {
        for (size_t scope = begins[level]; scope < end; ++scope) add_items(index, scope, tag, function);
      }
      if (!function.items.empty()) out.push_back(std::move(function));
    }
  }

  void add_items(size_t index, size_t scope, int tag, FunctionVariables& function) {
    Dwarf_Die child;
    if (dwarf_child(&states_[index].scopes[scope], &child) != 0) return;
    do {
      if (dwarf_tag(&child) != tag) continue;
      if (function.items.size() >= max_items) return;
      if (has_flag(&child, DW_AT_declaration) || has_flag(&child, DW_AT_external)) continue;
      Variable item;
      item.name = name_of(child);
      if (item.name.empty()) continue;
      item.type = type_name(&child);
      item.parameter = tag == DW_TAG_formal_parameter;
      read(index, child, item);
      function.items.push_back(std::move(item));
    } while (dwarf_siblingof(&child, &child) == 0);
  }

  void read(size_t index, Dwarf_Die die, Variable& item) {
    Dwarf_Attribute attribute;
    if (dwarf_attr_integrate(&die, DW_AT_location, &attribute) == nullptr &&
        dwarf_attr_integrate(&die, DW_AT_const_value, &attribute) == nullptr) {
      return;  // optimised out
    }
    const std::optional<uint64_t> size = size_of_value(&die);
    if (!size) {
      item.state = Variable::State::unsupported;
      return;
    }
    const Location location = located(index, attribute, *size);
    item.state = state_of(location);
    item.address = location.address;
    if (item.state != Variable::State::known) return;
    if (!location.pointee) {
      item.value = print_value(&die, location.bytes, note_, location.holes);
    } else {
      const std::optional<Dwarf_Die> pointer = pointer_type_of(&die);
      const Behind behind = pointer ? look_behind(index, *pointer, *location.pointee, 1) : Behind{};
      item.state = behind.state;
      item.value = behind.value;
    }
  }

  Location located(size_t index, Dwarf_Attribute& attribute, uint64_t size) {
    return in_frame(index, 0, [&](const FrameContext& context) { return locate(&attribute, context, size); });
  }

  static Variable::State state_of(const Location& location) {
    switch (location.state) {
      case Location::State::known:
        return Variable::State::known;
      case Location::State::optimized_out:
        return Variable::State::optimized_out;
      case Location::State::unavailable:
        return Variable::State::unavailable;
      case Location::State::unsupported:
        return Variable::State::unsupported;
    }
    return Variable::State::unsupported;
  }

  // "&(7)": what a pointer to a variable that is nowhere in memory would lead to. Debuggers that only say
  // that there is such a pointer call it synthetic.
  struct Behind {
    Variable::State state = Variable::State::optimized_out;
    std::string value;
  };
  // `pointer` is the type of the pointer: what it points to is read as that, or as the variable's own type
  // where it has none (void).
  Behind look_behind(size_t index, Dwarf_Die pointer, Location::Pointee pointee, unsigned depth) {
    Dwarf_Attribute attribute;
    Dwarf_Die* object = &pointee.object;
    if (dwarf_attr_integrate(object, DW_AT_location, &attribute) == nullptr &&
        dwarf_attr_integrate(object, DW_AT_const_value, &attribute) == nullptr) {
      return {};
    }
    std::optional<uint64_t> size = size_of_value(&pointer);
    const std::optional<uint64_t> whole = size_of_value(object);
    Dwarf_Die* type = size ? &pointer : object;
    if (!size) size = whole;
    const uint64_t offset = static_cast<uint64_t>(pointee.offset);
    // A DIE that is made for the pointer only has no type (DW_TAG_dwarf_procedure).
    if (!size || pointee.offset < 0 || offset > max_object || offset + *size > whole.value_or(offset + *size))
      return {};
    const Location location = located(index, attribute, whole.value_or(offset + *size));
    if (location.state != Location::State::known) return {state_of(location), {}};
    if (location.pointee) {
      const std::optional<Dwarf_Die> inner = pointer_type_of(type);
      if (!inner || offset != 0 || depth >= max_pointers) return {};
      Behind behind = look_behind(index, *inner, *location.pointee, depth + 1);
      if (behind.state == Variable::State::known) behind.value = fmt::format("&({})", behind.value);
      return behind;
    }
    std::vector<Hole> holes;
    uint64_t missing = 0;
    for (const Hole& hole : location.holes) {
      const uint64_t first = std::max(hole.offset, offset),
                     end = std::min(hole.offset + hole.size, offset + *size);
      if (first < end) holes.push_back({first - offset, end - first});
      if (first < end) missing += end - first;
    }
    if (missing == *size) return {};
    const Bytes bytes = Bytes(location.bytes).subspan(offset, *size);
    return {Variable::State::known, fmt::format("&({})", print_value(type, bytes, note_, holes))};
  }

  Kernel& kernel_;
  const SourceLookup& sources_;
  CallFrameInfo& cfi_;
  const Backtrace& trace_;
  const std::function<std::string(uint64_t)>& note_;
  std::vector<State> states_;
};

}  // namespace

std::string_view to_string(Variable::State state) {
  switch (state) {
    case Variable::State::known:
      return "known";
    case Variable::State::optimized_out:
      return "optimized_out";
    case Variable::State::unavailable:
      return "unavailable";
    case Variable::State::unsupported:
      return "unsupported";
  }
  return "unsupported";
}

std::vector<FunctionVariables> read_variables(Kernel& kernel, const SourceLookup& sources, CallFrameInfo& cfi,
                                              const Backtrace& trace, const std::optional<Registers>& start,
                                              const std::function<std::string(uint64_t)>& note) {
  return Reader(kernel, sources, cfi, trace, note).run(start);
}

}  // namespace kdk
