#include "tests/support/object_machine.h"

#include <algorithm>
#include <stdexcept>

namespace kdk::test {
namespace {

constexpr uint64_t per_cpu_bytes = 0x10000;

uint64_t number(const std::string& text) {
  return std::stoull(text);
}

}  // namespace

ObjectMachine::ObjectMachine(MachineOptions options) : machine(std::move(options)) {
  for (const auto& [name, bytes] :
       std::map<std::string, uint32_t>{{"u8", 1}, {"u16", 2}, {"u32", 4}, {"u64", 8}})
    types_known_[name] = {btf_.integer(name, bytes), bytes, bytes, {}};
  types_known_["char"] = {btf_.integer("char", 1), 1, 1, {}};
  types_known_["s32"] = {btf_.signed_integer("int", 4), 4, 4, {}};
  types_known_["s64"] = {btf_.signed_integer("long int", 8), 8, 8, {}};
  types_known_["void *"] = {btf_.pointer(0), 8, 8, {}};
  types_known_["char *"] = {btf_.pointer(types_known_["char"].id), 8, 8, {}};
  structure("list_head", {{"next", "void *"}, {"prev", "void *"}});
  structure("hlist_head", {{"first", "void *"}});
  structure("hlist_node", {{"next", "void *"}, {"pprev", "void *"}});
  structure("rb_node", {{"__rb_parent_color", "u64"}, {"rb_right", "void *"}, {"rb_left", "void *"}});
  structure("rb_root", {{"rb_node", "rb_node *"}});
  structure("rb_root_cached", {{"rb_root", "rb_root"}, {"rb_leftmost", "rb_node *"}});
  per_cpu_start_ = per_cpu_next_ = machine.image_alloc(per_cpu_bytes, 4096);
  symbol("__per_cpu_start", per_cpu_start_);
  symbol("__per_cpu_end", per_cpu_start_ + per_cpu_bytes);
  const VirtAddr offsets = variable("__per_cpu_offset", "u64[2]"),
                 mask = variable("__cpu_possible_mask", "u64");
  machine.put_u64(variable("__cpu_online_mask", "u64"), (1u << cpus) - 1);
  machine.put_u64(mask, (1u << cpus) - 1);
  machine.put_u32(variable("nr_cpu_ids", "u64"), cpus);
  for (unsigned cpu = 0; cpu < cpus; ++cpu) {
    areas_.push_back(machine.alloc(per_cpu_bytes, 4096));
    machine.put_u64(offsets + uint64_t{cpu} * 8, cpu_offset(cpu));
  }
  symbol("_stext", machine.stext());
  symbol("_etext", machine.etext());
}

ObjectMachine::Known ObjectMachine::resolve(const std::string& type) {
  if (const auto found = types_known_.find(type); found != types_known_.end()) return found->second;
  if (type.ends_with(" *")) {
    const std::string to = type.substr(0, type.size() - 2);
    const auto found = types_known_.find(to);
    const uint32_t id = found != types_known_.end() ? found->second.id
                        : to.ends_with(" *")        ? resolve(to).id
                                                    : btf_.forward(to);
    return types_known_[type] = {btf_.pointer(id), 8, 8, {}};
  }
  const size_t bracket = type.find('[');
  if (bracket == std::string::npos) throw std::logic_error("no such type: " + type);
  const Known element = resolve(type.substr(0, bracket));
  const uint64_t count = number(type.substr(bracket + 1));
  return types_known_[type] = {
             btf_.array(element.id, static_cast<uint32_t>(count)), element.size * count, element.align, {}};
}

void ObjectMachine::structure(const std::string& name, const std::vector<Field>& fields) {
  Known out;
  std::vector<BtfBuilder::Member> members;
  uint64_t bits = 0;  // where the next field begins
  bool with_bits = false;
  for (const Field& field : fields) with_bits = with_bits || field.type.find(':') != std::string::npos;
  for (const Field& field : fields) {
    const size_t colon = field.type.find(':');
    const std::string type = field.type.substr(0, colon);
    const Known of = resolve(type);
    Laid laid{type, 0, 0, 0};
    out.align = std::max(out.align, of.align);
    if (colon != std::string::npos) {
      laid.bits = static_cast<unsigned>(number(field.type.substr(colon + 1)));
      if (bits / (of.size * 8) != (bits + laid.bits - 1) / (of.size * 8)) bits = align_up(bits, of.size * 8);
      laid.offset = bits / 8;
      laid.bit = static_cast<unsigned>(bits % 8);
      members.push_back({field.name, of.id, static_cast<uint32_t>(bits), laid.bits});
      bits += laid.bits;
    } else {
      bits = align_up(bits, of.align * 8);
      laid.offset = bits / 8;
      members.push_back({field.name, of.id, static_cast<uint32_t>(bits), 0});
      bits += of.size * 8;
    }
    out.fields[field.name] = laid;
  }
  out.size = align_up(align_up(bits, 8) / 8, out.align);
  out.id = btf_.structure(name, static_cast<uint32_t>(out.size), members);
  types_known_[name] = out;
}

void ObjectMachine::enumeration(const std::string& name,
                                const std::vector<std::pair<std::string, uint32_t>>& values) {
  types_known_[name] = {btf_.enumeration(name, values), 4, 4, {}};
}

const ObjectMachine::Known& ObjectMachine::known(const std::string& type) const {
  const auto found = types_known_.find(type);
  if (found == types_known_.end()) throw std::logic_error("no such type: " + type);
  return found->second;
}

uint64_t ObjectMachine::size(const std::string& type) const {
  return known(type).size;
}

ObjectMachine::Place ObjectMachine::place(const std::string& type, const std::string& path) const {
  const size_t dot = path.find('.');
  std::string name = path.substr(0, dot);
  const size_t bracket = name.find('[');
  uint64_t index = 0;
  if (bracket != std::string::npos) {
    index = number(name.substr(bracket + 1));
    name.resize(bracket);
  }
  const auto& fields = known(type).fields;
  const auto field = fields.find(name);
  if (field == fields.end()) throw std::logic_error(type + " has no " + name);
  std::string of = field->second.type;
  if (bracket != std::string::npos) of = of.substr(0, of.find('['));
  Place out{field->second.offset + index * known(of).size, known(of).size, field->second.bit,
            field->second.bits};
  if (dot == std::string::npos) return out;
  const Place rest = place(of, path.substr(dot + 1));
  return {out.offset + rest.offset, rest.size, rest.bit, rest.bits};
}

uint64_t ObjectMachine::offset(const std::string& type, const std::string& path) const {
  return place(type, path).offset;
}

VirtAddr ObjectMachine::at(VirtAddr object, const std::string& type, const std::string& path) const {
  return object + offset(type, path);
}

void ObjectMachine::set(VirtAddr object, const std::string& type, const std::string& path, uint64_t value) {
  const Place where = place(type, path);
  const VirtAddr at = object + where.offset;
  if (where.bits != 0) {
    const uint64_t page = machine.page_size();
    const uint8_t old = machine.page(machine.pfn_of(machine.phys(at)))[at.value % page];
    machine.put_u8(at, static_cast<uint8_t>(old | value << where.bit));
    return;
  }
  std::vector<uint8_t> bytes(where.size);
  for (size_t i = 0; i < std::min<size_t>(bytes.size(), 8); ++i)
    bytes[i] = static_cast<uint8_t>(value >> (8 * i));
  machine.put(at, bytes);
}

VirtAddr ObjectMachine::symbol(const std::string& name, VirtAddr at) {
  symbols_.push_back({at.value, at >= machine.stext() && at < machine.etext() ? 'T' : 'D', name});
  return at;
}

VirtAddr ObjectMachine::variable(const std::string& name, const std::string& type) {
  return symbol(name, machine.image_alloc(resolve(type).size, 64));
}

void ObjectMachine::per_cpu(const std::string& name, const std::string& type) {
  per_cpu_variables_[name] = symbol(name, per_cpu_next_);
  btf_.variable(name, resolve(type).id);
  per_cpu_next_ = {align_up(per_cpu_next_.value + resolve(type).size, uint64_t{64})};
  if (per_cpu_next_.value > per_cpu_start_.value + per_cpu_bytes)
    throw std::logic_error("per-CPU memory is full");
}

VirtAddr ObjectMachine::on_cpu(const std::string& name, unsigned cpu) const {
  return per_cpu_variables_.at(name) + cpu_offset(cpu);
}

VirtAddr ObjectMachine::function(const std::string& name) {
  const VirtAddr at = machine.stext() + next_function_;
  next_function_ += 0x100;
  return symbol(name, at);
}

VirtAddr ObjectMachine::string(const std::string& text) {
  const VirtAddr at = machine.alloc(text.size() + 1);
  machine.put_text(at, text);
  return at;
}

uint64_t ObjectMachine::subtree(const std::vector<VirtAddr>& nodes, size_t begin, size_t end) {
  if (begin >= end) return 0;
  const size_t middle = (begin + end) / 2;
  set(nodes[middle], "rb_node", "rb_left", subtree(nodes, begin, middle));
  set(nodes[middle], "rb_node", "rb_right", subtree(nodes, middle + 1, end));
  return nodes[middle].value;
}

void ObjectMachine::tree(VirtAddr root, const std::vector<VirtAddr>& nodes) {
  machine.put_u64(root, subtree(nodes, 0, nodes.size()));
}

void ObjectMachine::chain(VirtAddr head, const std::vector<VirtAddr>& nodes) {
  VirtAddr at = head;
  for (const VirtAddr node : nodes) {
    machine.put_u64(at, node.value);
    machine.put_u64(node + 8, at.value);
    at = node;
  }
  machine.put_u64(at, 0);
}

void ObjectMachine::open() {
  types_.reset();
  kernel_.reset();
  DumpBuilder whole = machine;
  const std::vector<uint8_t> raw = btf_.bytes();
  const VirtAddr start = whole.image_alloc(raw.size());
  whole.put(start, raw);
  whole.symbol("__start_BTF", start);
  whole.symbol("__stop_BTF", start + raw.size());
  std::vector<KallsymsSymbol> sorted = symbols_;
  std::ranges::stable_sort(sorted, {}, &KallsymsSymbol::address);
  put_kallsyms(whole, sorted);
  dump_ = whole.open();
  kernel_ = std::make_unique<Kernel>(*dump_);
  types_ = std::make_unique<TypedMemory>(*kernel_);
}

void describe_tasks(ObjectMachine& m, const std::vector<ObjectMachine::Field>& more) {
  m.structure("signal_struct", {{"thread_head", "list_head"}});
  std::vector<ObjectMachine::Field> fields = {{"__state", "u32"},
                                              {"flags", "u32"},
                                              {"on_cpu", "u32"},
                                              {"exit_state", "u32"},
                                              {"pid", "s32"},
                                              {"tgid", "s32"},
                                              {"cpu", "u32"},
                                              {"tasks", "list_head"},
                                              {"thread_node", "list_head"},
                                              {"signal", "signal_struct *"},
                                              {"comm", "char[16]"}};
  fields.insert(fields.end(), more.begin(), more.end());
  m.structure("task_struct", fields);
}

VirtAddr put_task(ObjectMachine& m, int32_t pid, const std::string& comm, uint64_t state) {
  const VirtAddr task = m.object("task_struct");
  m.set(task, "task_struct", "pid", static_cast<uint32_t>(pid));
  m.set(task, "task_struct", "tgid", static_cast<uint32_t>(pid));
  m.set(task, "task_struct", "__state", state);
  m.machine.put_text(m.at(task, "task_struct", "comm"), comm);
  return task;
}

}  // namespace kdk::test
