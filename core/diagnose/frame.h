// Frames and backtraces as every program reports them. Filled by the walk of core/diagnose; analyze adds
// inlines, lines and CFI to the same structs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/arch/arch.h"

namespace kdk {

// How a frame's pc is known, best first.
enum class Trust : uint8_t { registers, cfi, orc, frame_record, inferred, scan };
std::string_view to_string(Trust trust);

// What the frame is to the one inside it.
enum class FrameKind : uint8_t {
  call,          // pc is a return address (symbolise pc - 1 instruction); or the innermost frame of a context
  exception,     // pc was interrupted here: first frame below a proven pt_regs
  lr_candidate,  // the link register at an exception: perhaps the caller of a leaf function, not proven
  bad_call,      // the caller of an address that cannot be executed (call through NULL)
};
std::string_view to_string(FrameKind kind);

struct InlineFrame {
  std::string function;
  std::string file;  // as in the debug information
  unsigned line = 0;
};

struct Frame {
  uint64_t pc = 0;  // authentication code stripped
  FrameKind kind = FrameKind::call;
  Trust trust = Trust::registers;
  bool pc_is_return_address = false;  // look up pc - 1 for the call site
  std::optional<uint64_t> at;         // address of the frame record or pt_regs it came from
  std::string stack;                  // where the record lies: a StackRange::name (unwind.h), or "?"
  // Resolved name; empty when unknown.
  std::string symbol;
  uint64_t symbol_offset = 0;
  uint64_t symbol_size = 0;
  std::string module;                    // empty: the kernel image
  std::optional<uint64_t> image_offset;  // pc - _stext (kernel) or pc - module base: for later symbolisation
  // T2 only: source position of the physical function, and inlined functions, innermost first.
  std::string file;
  unsigned line = 0;
  std::vector<InlineFrame> inlines;
  // Registers at an exception boundary (the interrupted context), when known.
  std::optional<Registers> registers;
};

struct Backtrace {
  std::vector<Frame> frames;  // innermost first
  // Why the walk ended: "thread start", "user mode", "record outside every known stack", "page excluded", ...
  std::string end;
  bool complete = false;  // ended where a stack ends, not where knowledge ends
  // What the walk had to do without, and what it took for granted: sentences.
  std::vector<std::string> problems;
};

}  // namespace kdk
