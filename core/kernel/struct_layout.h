// How a type is laid out: every member with its offset and size.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/kernel/ctype.h"

namespace kdk {

struct LayoutMember {
  std::string name;         // empty: an anonymous struct or union, whose members follow as children
  std::string declaration;  // "struct list_head tasks", "unsigned int in_execve : 1"
  std::string type;
  uint64_t offset = 0;  // bytes from the start of the whole
  unsigned bit = 0, bits = 0;
  uint64_t size = 0;
  std::vector<LayoutMember> children;
};

struct StructLayout {
  std::string query;       // as it was asked; escaped
  std::string type;        // "struct task_struct"
  std::string kind;        // "struct", "union", "enum", "typedef", "number"
  std::string stands_for;  // of a typedef
  uint64_t size = 0;
  uint64_t holes_bytes = 0;  // between members and behind them
  std::vector<LayoutMember> members;
  struct Enumerator {
    std::string name;
    int64_t value = 0;
  };
  std::vector<Enumerator> enumerators;
};

// Of a type, or of some of its members ("comm", "mm", "thread.cpu_context"): then only these. Throws
// Error{missing} for a member that is not there.
StructLayout layout_of(CTypes& types, CType type, const std::vector<std::string>& members);

}  // namespace kdk
