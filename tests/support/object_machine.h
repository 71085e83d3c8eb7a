// A small kernel of structs and variables that a test describes as C does, for walkers over kernel objects:
//
//   ObjectMachine m;
//   m.structure("timer_list", {{"entry", "hlist_node"}, {"expires", "u64"}, {"function", "void *"}});
//   const VirtAddr timer = m.object("timer_list");
//   m.set(timer, "timer_list", "expires", 4711);
//   m.open();  // then m.kernel() and m.types()
//
// It has two CPUs with per-CPU memory, kallsyms and BTF; offsets are laid out as a compiler would.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/kernel/kernel.h"
#include "core/kernel/typed_memory.h"
#include "tests/support/btf_builder.h"
#include "tests/support/dump_builder.h"
#include "tests/support/kallsyms_builder.h"

namespace kdk::test {

class ObjectMachine {
 public:
  static constexpr unsigned cpus = 2;

  // Has u8, u16, u32, u64, s32, s64, char, list_head, hlist_head, hlist_node, rb_node, rb_root,
  // rb_root_cached and what the task readers need of task_struct's neighbours.
  explicit ObjectMachine(MachineOptions options = {.page_size = 4096, .va_bits = 48});

  DumpBuilder machine;

  // `type`: a name of the above or of a struct described before, "name[8]", "name *" (of any struct), "u32:3"
  // for a bit field. A struct without fields may be given a size.
  struct Field {
    std::string name, type;
  };
  void structure(const std::string& name, const std::vector<Field>& fields);
  uint64_t size(const std::string& type) const;
  uint64_t offset(const std::string& type, const std::string& path) const;
  void enumeration(const std::string& name, const std::vector<std::pair<std::string, uint32_t>>& values);

  VirtAddr object(const std::string& type) { return machine.alloc(size(type), 64); }
  VirtAddr variable(const std::string& symbol, const std::string& type);
  VirtAddr symbol(const std::string& name, VirtAddr at);
  // A per-CPU variable and its instance.
  void per_cpu(const std::string& symbol, const std::string& type);
  VirtAddr on_cpu(const std::string& symbol, unsigned cpu) const;
  uint64_t cpu_offset(unsigned cpu) const { return areas_.at(cpu).value - per_cpu_start_.value; }
  VirtAddr function(const std::string& name);
  VirtAddr string(const std::string& text);

  // "a.b", "queue[3]", "queue[3].next".
  VirtAddr at(VirtAddr object, const std::string& type, const std::string& path) const;
  void set(VirtAddr object, const std::string& type, const std::string& path, uint64_t value);
  // A tree of these nodes, in order, below a struct rb_root.
  void tree(VirtAddr root, const std::vector<VirtAddr>& nodes);
  // hlist_head.
  void chain(VirtAddr head, const std::vector<VirtAddr>& nodes);

  // As it is now; what was opened before is gone.
  void open();
  Kernel& kernel() { return *kernel_; }
  TypedMemory& types() { return *types_; }

 private:
  struct Laid {
    std::string type;
    uint64_t offset = 0;
    unsigned bit = 0, bits = 0;
  };
  struct Known {
    uint32_t id = 0;
    uint64_t size = 0, align = 1;
    std::map<std::string, Laid> fields;
  };
  struct Place {
    uint64_t offset = 0, size = 0;
    unsigned bit = 0, bits = 0;
  };
  Known resolve(const std::string& type);
  const Known& known(const std::string& type) const;
  Place place(const std::string& type, const std::string& path) const;
  uint64_t subtree(const std::vector<VirtAddr>& nodes, size_t begin, size_t end);

  BtfBuilder btf_;
  std::map<std::string, Known> types_known_;
  std::vector<KallsymsSymbol> symbols_;
  VirtAddr per_cpu_start_, per_cpu_next_;
  std::vector<VirtAddr> areas_;
  std::map<std::string, VirtAddr> per_cpu_variables_;
  uint64_t next_function_ = 0x1000;
  std::unique_ptr<Dump> dump_;
  std::unique_ptr<Kernel> kernel_;
  std::unique_ptr<TypedMemory> types_;
};

// struct task_struct as the task readers want it, with these further fields.
void describe_tasks(ObjectMachine& m, const std::vector<ObjectMachine::Field>& more = {});
VirtAddr put_task(ObjectMachine& m, int32_t pid, const std::string& comm, uint64_t state = 0);

}  // namespace kdk::test
