#include "analyze/unwind/location.h"

#include <dwarf.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

#include "analyze/unwind/dwarf_stack.h"

namespace kdk {
namespace {

constexpr size_t max_pieces = 64;
constexpr unsigned max_nesting = 4;  // frame bases and entry values have expressions of their own

using State = Location::State;
using Ops = std::span<const Dwarf_Op>;

// Where one piece of a variable is.
struct Place {
  enum class Kind : uint8_t { nowhere, memory, value, bytes, pointer };
  Kind kind = Kind::nowhere;
  uint64_t value = 0;  // or address
  std::vector<uint8_t> bytes;
  std::optional<Location::Pointee> pointee;  // pointer
};

class Machine {
 public:
  Machine(const FrameContext& frame, Dwarf_Attribute* attribute, unsigned nesting)
      : frame_(frame), attribute_(attribute), nesting_(nesting) {}

  State state() const { return state_; }

  // The pieces of a location; one of `size` bytes when it is no composite.
  struct Piece {
    Place place;
    uint64_t size = 0;
  };
  std::vector<Piece> run(Ops ops, uint64_t size) {
    std::vector<Piece> pieces;
    size_t next = 0, steps = 0;
    while (next < ops.size() && state_ == State::known) {
      if (++steps > DwarfStack::max_steps) {
        fail(State::unsupported);
        break;
      }
      const Dwarf_Op& op = ops[next++];
      if (op.atom == DW_OP_piece) {
        if (pieces.size() >= max_pieces) fail(State::unsupported);
        pieces.push_back({take_place(), op.number});
        continue;
      }
      step(op, ops, next);
      if (stack_.broken()) fail(State::unsupported);
    }
    if (pieces.empty() && state_ == State::known) pieces.push_back({take_place(), size});
    return pieces;
  }

 private:
  void fail(State state) {
    if (state_ == State::known) state_ = state;
  }

  Place take_place() {
    Place place;
    if (direct_) {
      place = std::move(*direct_);
      direct_.reset();
    } else if (!stack_.empty()) {
      place.kind = is_value_ ? Place::Kind::value : Place::Kind::memory;
      place.value = pop();
    }
    stack_.clear();
    is_value_ = false;
    return place;
  }

  void push(uint64_t value) { stack_.push(value); }
  void push(std::optional<uint64_t> value) {
    if (!value) return fail(State::unavailable);
    push(*value);
  }
  uint64_t pop() { return stack_.pop(); }
  void in_register(uint64_t number) {
    const std::optional<uint64_t> value = frame_.registers.get(number);
    if (!value) return fail(State::unavailable);
    direct_ = Place{Place::Kind::value, *value, {}, {}};
  }
  void push_register(uint64_t number, uint64_t offset) {
    const std::optional<uint64_t> value = frame_.registers.get(number);
    push(value ? std::optional(*value + offset) : std::nullopt);
  }
  void load(uint64_t size) {
    const VirtAddr address{pop()};
    if (stack_.broken()) return;
    if (size == 0 || size > 8) return fail(State::unsupported);
    std::array<uint8_t, 8> bytes{};
    if (!frame_.memory.read(address, MutableBytes(bytes).first(size))) return fail(State::unavailable);
    push(uint64_t{*kdk::load<ul64>(Bytes(bytes))});
  }

  void step(const Dwarf_Op& op, Ops ops, size_t& next) {
    if (op.atom >= DW_OP_breg0 && op.atom <= DW_OP_breg31) {
      return push_register(op.atom - DW_OP_breg0, op.number);
    }
    if (op.atom >= DW_OP_reg0 && op.atom <= DW_OP_reg31) return in_register(op.atom - DW_OP_reg0);
    switch (op.atom) {
      case DW_OP_regx:
        return in_register(op.number);
      case DW_OP_bregx:
        return push_register(op.number, op.number2);
      case DW_OP_fbreg:
        return push_frame_base(op.number);
      case DW_OP_call_frame_cfa:
        return push(frame_.cfa);
      case DW_OP_addr:
        return push(op.number + frame_.load_offset);
      case DW_OP_addrx:
      case DW_OP_constx:
      case DW_OP_GNU_addr_index:
      case DW_OP_GNU_const_index:
        return push_indexed(op);
      case DW_OP_deref:
        return load(8);
      case DW_OP_deref_size:
        return load(op.number);
      case DW_OP_stack_value:
        is_value_ = true;
        return;
      case DW_OP_implicit_value:
        return push_block(op);
      case DW_OP_entry_value:
      case DW_OP_GNU_entry_value:
        return push_entry_value(op);
      case DW_OP_convert:
      case DW_OP_GNU_convert:
      case DW_OP_reinterpret:
      case DW_OP_GNU_reinterpret:
        return convert(op, op.number);
      case DW_OP_regval_type:
      case DW_OP_GNU_regval_type:
        push_register(op.number, 0);
        return convert(op, op.number2);
      case DW_OP_deref_type:
      case DW_OP_GNU_deref_type:
        load(op.number);
        return convert(op, op.number2);
      case DW_OP_skip:
        return branch(op, ops, next);
      case DW_OP_bra:
        if (pop() != 0) branch(op, ops, next);
        return;
      case DW_OP_implicit_pointer:
      case DW_OP_GNU_implicit_pointer:
        return point(op);
      case DW_OP_GNU_parameter_ref:
        return fail(State::optimized_out);  // an argument that was not passed
      default:
        if (!stack_.apply(op)) fail(State::unsupported);
    }
  }

  // The end is a place to go, too.
  void branch(const Dwarf_Op& op, Ops ops, size_t& next) {
    const uint64_t target = branch_target(op);
    auto found = std::ranges::find_if(ops, [&](const Dwarf_Op& o) { return o.offset == target; });
    if (found == ops.end() && (ops.empty() || target <= ops.back().offset)) return fail(State::unsupported);
    next = static_cast<size_t>(found - ops.begin());
  }

  void push_frame_base(uint64_t offset) {
    Dwarf_Op* ops = nullptr;
    size_t count = 0;
    if (frame_.frame_base == nullptr || nesting_ >= max_nesting ||
        dwarf_getlocation_addr(frame_.frame_base, frame_.pc - frame_.load_offset, &ops, &count, 1) != 1) {
      return fail(State::unavailable);
    }
    Machine machine(frame_, frame_.frame_base, nesting_ + 1);
    const std::vector<Piece> pieces = machine.run({ops, count}, 8);
    if (machine.state() != State::known) return fail(machine.state());
    const bool word = pieces.size() == 1 && (pieces[0].place.kind == Place::Kind::memory ||
                                             pieces[0].place.kind == Place::Kind::value);
    if (!word) return fail(State::unsupported);
    push(pieces[0].place.value + offset);
  }

  void push_indexed(const Dwarf_Op& op) {
    Dwarf_Attribute result;
    Dwarf_Addr address = 0;
    Dwarf_Word constant = 0;
    if (dwarf_getlocation_attr(attribute_, &op, &result) != 0) return fail(State::unsupported);
    const bool is_address = op.atom == DW_OP_addrx || op.atom == DW_OP_GNU_addr_index;
    if (is_address && dwarf_formaddr(&result, &address) == 0) return push(address + frame_.load_offset);
    if (!is_address && dwarf_formudata(&result, &constant) == 0) return push(uint64_t{constant});
    fail(State::unsupported);
  }

  void push_block(const Dwarf_Op& op) {
    Dwarf_Block block;
    if (dwarf_getlocation_implicit_value(attribute_, &op, &block) != 0) return fail(State::unsupported);
    Place place;
    place.kind = Place::Kind::bytes;
    place.bytes.assign(block.data, block.data + block.length);
    direct_ = std::move(place);
  }

  void point(const Dwarf_Op& op) {
    Place place;
    place.kind = Place::Kind::pointer;
    place.pointee.emplace();
    if (dwarf_getlocation_die(attribute_, &op, &place.pointee->object) != 0) return fail(State::unsupported);
    place.pointee->offset = static_cast<int64_t>(op.number2);
    direct_ = std::move(place);
  }

  // What a register held at the entry of the function: the only form that compilers write.
  void push_entry_value(const Dwarf_Op& op) {
    Dwarf_Attribute inner;
    Dwarf_Op* ops = nullptr;
    size_t count = 0;
    if (dwarf_getlocation_attr(attribute_, &op, &inner) != 0 ||
        dwarf_getlocation(&inner, &ops, &count) != 0 || count != 1 || !frame_.at_entry) {
      return fail(State::optimized_out);
    }
    unsigned number = 0;
    if (ops[0].atom >= DW_OP_reg0 && ops[0].atom <= DW_OP_reg31) {
      number = ops[0].atom - DW_OP_reg0;
    } else if (ops[0].atom == DW_OP_regx && ops[0].number < Registers::max_count) {
      number = static_cast<unsigned>(ops[0].number);
    } else {
      return fail(State::unsupported);
    }
    // Without a call site that says it, nobody knows any more: as good as optimised out.
    const std::optional<uint64_t> value = frame_.at_entry(number);
    if (!value) return fail(State::optimized_out);
    push(*value);
  }

  // Integers only: the type's size and sign. Type 0 is the generic one, an address.
  void convert(const Dwarf_Op& op, uint64_t type_offset) {
    const uint64_t value = pop();
    if (state_ != State::known) return;
    if (type_offset == 0) return push(value);
    Dwarf_Die type;
    Dwarf_Attribute attribute;
    Dwarf_Word size = 0, encoding = 0;
    if (dwarf_getlocation_die(attribute_, &op, &type) != 0 ||
        dwarf_attr(&type, DW_AT_byte_size, &attribute) == nullptr ||
        dwarf_formudata(&attribute, &size) != 0 || dwarf_attr(&type, DW_AT_encoding, &attribute) == nullptr ||
        dwarf_formudata(&attribute, &encoding) != 0 || size == 0 || size > 8) {
      return fail(State::unsupported);
    }
    const unsigned unused = static_cast<unsigned>(64 - size * 8);
    const bool is_signed = encoding == DW_ATE_signed || encoding == DW_ATE_signed_char;
    if (!is_signed && encoding != DW_ATE_unsigned && encoding != DW_ATE_unsigned_char &&
        encoding != DW_ATE_boolean) {
      return fail(State::unsupported);
    }
    push(is_signed ? static_cast<uint64_t>(static_cast<int64_t>(value << unused) >> unused)
                   : value << unused >> unused);
  }

  const FrameContext& frame_;
  Dwarf_Attribute* attribute_;
  unsigned nesting_;
  State state_ = State::known;
  DwarfStack stack_;
  bool is_value_ = false;
  std::optional<Place> direct_;
};

Location failed(State state) {
  Location location;
  location.state = state;
  return location;
}

Location of_pieces(const std::vector<Machine::Piece>& pieces, const FrameContext& frame, uint64_t size) {
  Location out;
  if (pieces.size() == 1 && pieces[0].place.kind == Place::Kind::pointer) {
    out.state = State::known;
    out.pointee = pieces[0].place.pointee;
    return out;
  }
  uint64_t missing = 0;
  for (const Machine::Piece& piece : pieces) {
    const uint64_t wanted = std::min(piece.size, size - std::min<uint64_t>(size, out.bytes.size()));
    std::vector<uint8_t> bytes(wanted);
    switch (piece.place.kind) {
      case Place::Kind::nowhere:
      case Place::Kind::pointer:  // a member that points to what is nowhere
        if (wanted != 0) out.holes.push_back({out.bytes.size(), wanted});
        missing += wanted;
        break;
      case Place::Kind::memory:
        if (!frame.memory.read(VirtAddr{piece.place.value}, bytes)) return failed(State::unavailable);
        if (pieces.size() == 1) out.address = piece.place.value;
        break;
      case Place::Kind::value: {
        if (wanted > 8) return failed(State::unsupported);
        const ul64 value(piece.place.value);
        std::memcpy(bytes.data(), &value, wanted);
        break;
      }
      case Place::Kind::bytes:
        if (piece.place.bytes.size() < wanted) return failed(State::unsupported);
        std::copy_n(piece.place.bytes.begin(), wanted, bytes.begin());
        break;
    }
    out.bytes.insert(out.bytes.end(), bytes.begin(), bytes.end());
  }
  if (missing != 0 && missing == out.bytes.size()) return failed(State::optimized_out);
  out.state = out.bytes.size() == size ? State::known : State::unsupported;
  return out;
}

Location constant(Dwarf_Attribute* attribute, uint64_t size) {
  Location out;
  Dwarf_Word value = 0;
  Dwarf_Sword negative = 0;
  Dwarf_Block block;
  out.bytes.resize(size);
  if (dwarf_formblock(attribute, &block) == 0) {
    if (block.length < size) return failed(State::unsupported);
    std::copy_n(block.data, size, out.bytes.begin());
  } else if (size <= 8 &&
             (dwarf_formsdata(attribute, &negative) == 0 || dwarf_formudata(attribute, &value) == 0)) {
    const ul64 bits(negative != 0 ? static_cast<uint64_t>(negative) : uint64_t{value});
    std::memcpy(out.bytes.data(), &bits, size);
  } else {
    return failed(State::unsupported);
  }
  out.state = State::known;
  return out;
}

}  // namespace

std::optional<uint64_t> value_of(Dwarf_Attribute* attribute, const FrameContext& frame) {
  Dwarf_Op* ops = nullptr;
  size_t count = 0;
  if (dwarf_getlocation(attribute, &ops, &count) != 0 || count == 0) return std::nullopt;
  Machine machine(frame, attribute, 1);
  const std::vector<Machine::Piece> pieces = machine.run({ops, count}, 8);
  if (machine.state() != State::known || pieces.size() != 1) return std::nullopt;
  const Place& place = pieces[0].place;
  const bool is_word = place.kind == Place::Kind::memory || place.kind == Place::Kind::value;
  return is_word ? std::optional(place.value) : std::nullopt;
}

Location locate(Dwarf_Attribute* attribute, const FrameContext& frame, uint64_t size) {
  if (dwarf_whatattr(attribute) == DW_AT_const_value) return constant(attribute, size);
  Dwarf_Op* ops = nullptr;
  size_t count = 0;
  const int found = dwarf_getlocation_addr(attribute, frame.pc - frame.load_offset, &ops, &count, 1);
  if (found < 0) return failed(State::unsupported);
  // An empty description says that it is nowhere (DWARF 5 section 2.6.1.1.4).
  if (found == 0 || count == 0) return failed(State::optimized_out);
  Machine machine(frame, attribute, 0);
  const std::vector<Machine::Piece> pieces = machine.run({ops, count}, size);
  return machine.state() == State::known ? of_pieces(pieces, frame, size) : failed(machine.state());
}

}  // namespace kdk
