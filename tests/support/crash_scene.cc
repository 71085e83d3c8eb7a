#include "tests/support/crash_scene.h"

#include <algorithm>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/btf_builder.h"
#include "tests/support/kallsyms_builder.h"
#include "tests/support/log_builder.h"
#include "tests/support/scene_arch.h"

namespace kdk::test {
namespace {

// struct task_struct; the rest of its offsets. See types() for the same facts as BTF.
constexpr uint64_t t_cpu = 0x08, t_state = 0x18, t_stack = 0x20, t_flags = 0x28, t_on_cpu = 0x2c,
                   t_exit = 0x40, t_tgid = 0x48, t_parent = 0x50, t_thread_node = 0x58, t_signal = 0x68,
                   t_mm = 0x80, t_prio = 0x88, t_static_prio = 0x8c, t_policy = 0x90, t_sched_info = 0x98,
                   t_se = 0xb0, t_start = 0xc8, t_nvcsw = 0xd0, t_nivcsw = 0xd8, task_size = 0x100;
constexpr uint64_t mm_total_vm = 0x10, mm_rss_stat = 0x20, counter_size = 0x28, counter_count = 0x8,
                   counter_cpus = 0x20;
constexpr uint64_t s_thread_head = 0x10;
constexpr uint64_t rq_clock = 0x38, rq_curr = 0x40, per_cpu_area = 0x10000;

class Builder {
 public:
  Builder(const SceneOptions& options, Scene& scene)
      : options_(options),
        scene_(scene),
        m_(*scene.machine),
        arch_(options.machine.x86_64 ? x86_64_scene() : arm64_scene()),
        functions_(arch_.functions()) {}

  void build() {
    for (const std::string& name : functions_) scene_.functions[name] = function(name);
    types();
    tasks();
    cpus();
    module();
    memory();
    identity();
    log();
    symbols();
  }

 private:
  uint64_t function(std::string_view name, uint64_t offset = 0) const {
    auto at = std::find(functions_.begin(), functions_.end(), name);
    if (at == functions_.end()) throw std::logic_error("the scene has no function " + std::string(name));
    return m_.stext().value + 0x1000 +
           static_cast<uint64_t>(at - functions_.begin()) * SceneArch::function_size + offset;
  }
  VirtAddr variable(const std::string& name, uint64_t size) {
    VirtAddr va = m_.image_alloc(size, 16);
    variables_[name] = va;
    return va;
  }

  void types() {
    BtfBuilder btf;
    uint32_t u8 = btf.integer("char", 1), u32 = btf.integer("unsigned int", 4),
             u64 = btf.integer("unsigned long", 8);
    uint32_t pointer = btf.pointer(0), comm = btf.array(u8, 16), name56 = btf.array(u8, 56);
    auto bits = [](uint64_t bytes) { return static_cast<uint32_t>(bytes * 8); };
    uint32_t list = btf.structure("list_head", 16, {{"next", pointer, 0}, {"prev", pointer, 64}});
    uint32_t thread_info = btf.structure("thread_info", 16, {{"flags", u64, 0}, {"cpu", u32, bits(t_cpu)}});
    uint32_t sched_info = btf.structure("sched_info", 16, {{"last_arrival", u64, 0}});
    uint32_t entity =
        btf.structure("sched_entity", 16, {{"exec_start", u64, 0}, {"sum_exec_runtime", u64, 64}});
    btf.structure("task_struct", static_cast<uint32_t>(task_size),
                  {{"thread_info", thread_info, 0},
                   {"__state", u32, bits(t_state)},
                   {"stack", pointer, bits(t_stack)},
                   {"flags", u32, bits(t_flags)},
                   {"on_cpu", u32, bits(t_on_cpu)},
                   {"tasks", list, bits(Scene::tasks_offset)},
                   {"exit_state", u32, bits(t_exit)},
                   {"pid", u32, bits(Scene::pid_offset)},
                   {"tgid", u32, bits(t_tgid)},
                   {"real_parent", pointer, bits(t_parent)},
                   {"thread_node", list, bits(t_thread_node)},
                   {"signal", pointer, bits(t_signal)},
                   {"comm", comm, bits(Scene::comm_offset)},
                   {"mm", pointer, bits(t_mm)},
                   {"prio", u32, bits(t_prio)},
                   {"static_prio", u32, bits(t_static_prio)},
                   {"policy", u32, bits(t_policy)},
                   {"sched_info", sched_info, bits(t_sched_info)},
                   {"se", entity, bits(t_se)},
                   {"start_boottime", u64, bits(t_start)},
                   {"nvcsw", u64, bits(t_nvcsw)},
                   {"nivcsw", u64, bits(t_nivcsw)}});
    uint32_t counter =
        btf.structure("percpu_counter", static_cast<uint32_t>(counter_size),
                      {{"count", u64, bits(counter_count)}, {"counters", pointer, bits(counter_cpus)}});
    btf.structure(
        "mm_struct", 0x100,
        {{"total_vm", u64, bits(mm_total_vm)}, {"rss_stat", btf.array(counter, 4), bits(mm_rss_stat)}});
    btf.structure("signal_struct", 0x40, {{"thread_head", list, bits(s_thread_head)}});
    btf.structure("rq", 0x80, {{"clock", u64, bits(rq_clock)}, {"curr", pointer, bits(rq_curr)}});
    btf.structure("cpumask", 8, {{"bits", btf.array(u64, 1), 0}});
    uint32_t module_memory = btf.structure("module_memory", 16, {{"base", pointer, 0}, {"size", u32, 64}});
    btf.structure("module", 0x120,
                  {{"state", u32, 0},
                   {"list", list, bits(8)},
                   {"name", name56, bits(0x18)},
                   {"taints", u64, bits(0x58)},
                   {"mem", btf.array(module_memory, 7), bits(0x60)},
                   {"refcnt", u32, bits(0xd0)},
                   {"source_list", list, bits(0xd8)},
                   {"target_list", list, bits(0xe8)},
                   {"sect_attrs", pointer, bits(0xf8)}});
    btf.structure("module_use", 0x30,
                  {{"source_list", list, 0},
                   {"target_list", list, bits(0x10)},
                   {"source", pointer, bits(0x20)},
                   {"target", pointer, bits(0x28)}});
    uint32_t attribute = btf.structure("attribute", 16, {{"name", pointer, 0}});
    uint32_t bin_attribute =
        btf.structure("bin_attribute", 0x28, {{"attr", attribute, 0}, {"private", pointer, bits(0x18)}});
    uint32_t section =
        btf.structure("module_sect_attr", 0x30, {{"battr", bin_attribute, 0}, {"address", u64, bits(0x28)}});
    btf.structure("module_sect_attrs", 0x10,
                  {{"nsections", u32, 0}, {"attrs", btf.array(section, 0), bits(0x10)}});
    uint32_t watermarks = btf.array(u64, 4), zone_stats = btf.array(u64, 2);
    uint32_t zone = btf.structure("zone", 0x60,
                                  {{"_watermark", watermarks, 0},
                                   {"managed_pages", u64, bits(0x20)},
                                   {"spanned_pages", u64, bits(0x28)},
                                   {"present_pages", u64, bits(0x30)},
                                   {"name", pointer, bits(0x38)},
                                   {"vm_stat", zone_stats, bits(0x40)}});
    btf.structure("pglist_data", 0x200,
                  {{"node_zones", btf.array(zone, 2), 0}, {"nr_zones", u32, bits(0x180)}});
    btf.enumeration("zone_stat_item", {{"NR_FREE_PAGES", 0}, {"NR_BOUNCE", 1}});
    btf.enumeration("node_stat_item", {{"NR_SLAB_RECLAIMABLE_B", 0},
                                       {"NR_SLAB_UNRECLAIMABLE_B", 1},
                                       {"NR_ANON_MAPPED", 2},
                                       {"NR_FILE_PAGES", 3},
                                       {"NR_FILE_DIRTY", 4},
                                       {"NR_WRITEBACK", 5},
                                       {"NR_SHMEM", 6},
                                       {"NR_KERNEL_STACK_KB", 7},
                                       {"NR_PAGETABLE", 8}});
    std::vector<uint8_t> bytes = btf.bytes();
    m_.put(m_.image_alloc(bytes.size(), 8), bytes);
  }

  struct TaskFacts {
    uint32_t pid, tgid;
    std::string comm;
    uint32_t state, exit_state, flags, cpu;
    bool on_cpu;
  };
  VirtAddr task(const TaskFacts& facts, VirtAddr parent, bool in_image = false) {
    // Each on a page of its own, so that a test can take one away.
    VirtAddr at = in_image ? m_.image_alloc(task_size, 64) : m_.alloc(m_.page_size(), m_.page_size());
    m_.put_u32(at + t_cpu, facts.cpu);
    m_.put_u32(at + t_state, facts.state);
    m_.put_u32(at + t_flags, facts.flags);
    m_.put_u32(at + t_on_cpu, facts.on_cpu ? 1 : 0);
    m_.put_u32(at + t_exit, facts.exit_state);
    m_.put_u32(at + Scene::pid_offset, facts.pid);
    m_.put_u32(at + t_tgid, facts.tgid);
    m_.put_u32(at + t_prio, 120);
    m_.put_u32(at + t_static_prio, 120);
    // Every task ran for 3 ms, for the last time PID milliseconds after the boot.
    m_.put_u64(at + t_sched_info, uint64_t{facts.pid} * 1'000'000);
    m_.put_u64(at + t_se + 8, 3'000'000);
    m_.put_u64(at + t_nvcsw, facts.pid);
    m_.put_u64(at + t_parent, parent.value == 0 ? at.value : parent.value);
    m_.put_text(at + Scene::comm_offset, facts.comm);
    if (facts.pid != 0) scene_.tasks[static_cast<int32_t>(facts.pid)] = at;
    return at;
  }
  // Links the threads of one group behind a signal_struct of their own.
  void group(const std::vector<VirtAddr>& threads) {
    VirtAddr signal = m_.alloc(0x40, 64);
    std::vector<VirtAddr> nodes;
    for (VirtAddr thread : threads) {
      m_.put_u64(thread + t_signal, signal.value);
      nodes.push_back(thread + t_thread_node);
    }
    m_.put_list(signal + s_thread_head, nodes);
  }

  void tasks() {
    constexpr uint32_t kthread = 0x00200000, idle = 0x402, sleeping = 1, uninterruptible = 2, zombie = 0x20;
    std::string worker = options_.hostile_names ? "w\x1b[31m\xff\n" : "worker";
    scene_.init_task = task({0, 0, "swapper/0", 0, 0, 0x00200002, 0, false}, {}, true);
    VirtAddr init = task({1, 1, "init", sleeping, 0, 0, 0, false}, scene_.init_task);
    VirtAddr kthreadd = task({2, 2, "kthreadd", sleeping, 0, kthread, 0, false}, scene_.init_task);
    VirtAddr kworker = task({9, 9, "kworker/0:1", idle, 0, kthread, 0, false}, kthreadd);
    trigger_ = task({77, 77, "trigger", 0, 0, 0, 0, true}, init);
    VirtAddr leader = task({80, 80, worker, sleeping, 0, 0, 1, false}, init);
    VirtAddr second = task({81, 80, worker, sleeping, 0, 0, 1, false}, init);
    VirtAddr third = task({82, 80, worker, sleeping, 0, 0, 0, false}, init);
    scene_.blocked_task = task({90, 90, "blocked", uninterruptible, 0, 0, 1, false}, init);
    VirtAddr dead = task({91, 91, "gone", 0x80, zombie, 0, 1, false}, leader);
    idle_ = task({0, 0, "swapper/1", 0, 0, 0x00200002, 1, true}, scene_.init_task);
    std::vector<VirtAddr> nodes;
    for (VirtAddr leader_task : {init, kthreadd, kworker, trigger_, leader, scene_.blocked_task, dead}) {
      nodes.push_back(leader_task + Scene::tasks_offset);
    }
    m_.put_list(scene_.init_task + Scene::tasks_offset, nodes);
    group({leader, second, third});
    for (VirtAddr single : {scene_.init_task, init, kthreadd, kworker, trigger_, scene_.blocked_task, dead}) {
      group({single});
    }
    variables_["init_task"] = scene_.init_task;
    memory_of({init, 40, 4});
    memory_of({leader, 100, 30});
    for (VirtAddr thread : {second, third}) m_.put_u64(thread + t_mm, mm_.value);
  }

  struct MemoryFacts {
    VirtAddr task;
    uint64_t total, anonymous;  // pages
  };
  // An mm_struct whose count of anonymous pages is split between the total and the two CPUs: -1 and +2.
  void memory_of(const MemoryFacts& facts) {
    mm_ = m_.alloc(0x100, 64);
    m_.put_u64(facts.task + t_mm, mm_.value);
    m_.put_u64(mm_ + mm_total_vm, facts.total);
    const VirtAddr counter = mm_ + mm_rss_stat + counter_size;
    m_.put_u64(counter + counter_count, facts.anonymous - 1);
    counters_.push_back(counter + counter_cpus);
  }

  // One ELF note as crash_save_cpu() leaves it in the per-CPU crash_notes.
  void put_note(VirtAddr at, const Registers& registers, int32_t pid) {
    const std::vector<uint8_t> desc = arch_.prstatus(registers, pid);
    m_.put_u32(at, 5);
    m_.put_u32(at + 4, static_cast<uint32_t>(desc.size()));
    m_.put_u32(at + 8, 1);
    m_.put_text(at + 12, "CORE");
    m_.put(at + 20, desc);
  }

  void cpus() {
    constexpr uint64_t size = SceneArch::thread_size;
    VirtAddr stack0 = m_.vmalloc(size / m_.page_size()), stack1 = m_.vmalloc(size / m_.page_size());
    m_.put_u64(trigger_ + t_stack, stack0.value);
    m_.put_u64(idle_ + t_stack, stack1.value);
    auto at = [&](std::string_view name, uint64_t offset) { return function(name, offset); };
    Registers cpu0 = arch_.crashed_cpu(m_, stack0, at, options_.oops), cpu1 = arch_.idle_cpu(m_, stack1, at);
    arch_.put_unwind_tables(m_, at, variables_);

    VirtAddr notes = variable("crash_notes_template", 0x2000), queues = notes + 0x1000;
    variables_.erase("crash_notes_template");
    VirtAddr areas = m_.alloc(2 * per_cpu_area, 4096), offsets = variable("__per_cpu_offset", 64 * 8);
    m_.put_u64(variable("crash_notes", 8), notes.value);
    variables_["runqueues"] = queues;
    for (uint64_t cpu : {0, 1}) {
      uint64_t offset = areas.value + cpu * per_cpu_area - notes.value;
      m_.put_u64(offsets + cpu * 8, offset);
      m_.put_u64(queues + offset + rq_curr, cpu == 0 ? trigger_.value : idle_.value);
      m_.put_u64(queues + offset + rq_clock, 500'000'000 + cpu);
      for (size_t i = 0; i < counters_.size(); ++i) {
        const VirtAddr part = queues + 0x200 + i * 8;  // behind the run queue
        m_.put_u64(counters_[i], part.value);
        m_.put_u32(part + offset, cpu == 0 ? static_cast<uint32_t>(-1) : 2);
      }
    }
    put_note(areas, cpu0, 77);
    put_note(areas + per_cpu_area, cpu1, 0);
    m_.add_cpu(cpu0, 77);
    m_.add_cpu(cpu1, 0);
    m_.put_u32(variable("panic_cpu", 4), 0);
    m_.put_u64(variable("__cpu_possible_mask", 8), 0b11);
    m_.put_u64(variable("__cpu_online_mask", 8), 0b01);
  }

  void module() {
    VirtAddr head = variable("modules", 16), at = m_.alloc(0x120, 64);
    m_.put_list(head, {at + 8});
    m_.put_text(at + 0x18, options_.hostile_names ? "mod\x07<b>name" : "demo_driver");
    m_.put_u64(at + 0x58, (1u << 12) | (1u << 13));  // O and E
    VirtAddr text = m_.vmalloc(1);
    m_.put_u64(at + 0x60, text.value);
    m_.put_u32(at + 0x68, 4096);
    module_use(at, text);
  }
  // The module uses itself, which is more than any real one does but needs no second one; it has two
  // sections.
  void module_use(VirtAddr at, VirtAddr text) {
    m_.put_u32(at + 0xd0, 2);
    VirtAddr use = m_.alloc(0x30, 64), sections = m_.alloc(0x10 + 2 * 0x30, 64);
    m_.put_list(at + 0xd8, {use});
    m_.put_list(at + 0xe8, {use + 0x10});
    m_.put_u64(use + 0x20, at.value);
    m_.put_u64(use + 0x28, at.value);
    m_.put_u64(at + 0xf8, sections.value);
    m_.put_u32(sections, 2);
    for (uint64_t i : {0, 1}) {
      VirtAddr name = m_.alloc(16), section = sections + 0x10 + i * 0x30;
      m_.put_text(name, i == 0 ? ".text" : ".init.text");
      m_.put_u64(section, name.value);
      m_.put_u64(section + 0x28, i == 0 ? text.value : text.value + 0x100000);
    }
  }

  void memory() {
    m_.put_u64(variable("_totalram_pages", 8), 3500);
    VirtAddr zone_stat = variable("vm_zone_stat", 16), node_stat = variable("vm_node_stat", 9 * 8);
    m_.put_u64(zone_stat, 2100);
    constexpr uint64_t counters[] = {30, 70, 200, 400, 3, 0, 40, 144, 25};
    for (size_t i = 0; i < std::size(counters); ++i) m_.put_u64(node_stat + i * 8, counters[i]);
    m_.put_u64(variable("total_swap_pages", 8), 0);
    m_.put_u64(variable("nr_swap_pages", 8), 0);
    VirtAddr node = m_.alloc(0x200, 64), name = m_.image_alloc(8);
    m_.put_text(name, "DMA");
    constexpr uint64_t zone[] = {50, 62, 74, 0, 3500, 4096, 4096};
    for (size_t i = 0; i < std::size(zone); ++i) m_.put_u64(node + i * 8, zone[i]);
    m_.put_u64(node + 0x38, name.value);
    m_.put_u64(node + 0x40, 2100);
    m_.put_u32(node + 0x180, 2);  // the second zone is empty
    m_.put_u64(variable("node_data", 8), node.value);
  }

  void identity() {
    VirtAddr uts = m_.image_alloc(6 * 65);
    const std::string fields[] = {"Linux",
                                  options_.hostile_names ? "host\x9b\x1b]0;x<i>" : "synthetic",
                                  m_.options().release,
                                  "#1 SMP Synthetic",
                                  std::string(m_.arch().uts_machine()),
                                  "(none)"};
    for (size_t i = 0; i < std::size(fields); ++i) m_.put_text(uts + i * 65, fields[i]);
    m_.symbol("init_uts_ns", uts);
    m_.offset("uts_namespace.name", 0);
    m_.set("CRASHTIME", "1795455686");
    m_.put_u64(variable("tainted_mask", 8), (1u << 12) | (1u << 13));
    VirtAddr text = m_.alloc(64);
    m_.put_text(text, command_line());
    m_.put_u64(variable("saved_command_line", 8), text.value);
  }

  std::string command_line() const { return "console=" + arch_.console() + " crashkernel=256M"; }

  void log() {
    std::vector<LogLine> lines;
    uint64_t time = 0;
    auto add = [&](std::string text, uint8_t level = 6) {
      LogLine line;
      line.time_ns = time += 1'500'000;
      line.text = std::move(text);
      line.level = level;
      lines.push_back(std::move(line));
    };
    add("Booting Linux on physical CPU 0x0000000000");
    add("Kernel command line: " + command_line());
    if (options_.hostile_names)
      add("evil \x1b[2J\xff text </pre><script>document.title=1</script><img src=x:y onerror=\"1\">");
    for (const std::string& line : arch_.crash_log(options_.oops)) {
      const bool alert = line.starts_with("Unable") || line.starts_with("BUG: ");
      const bool emergency = line.starts_with("Kernel panic") || line.starts_with("Internal error");
      add(line, alert ? 1 : emergency ? 0 : line.starts_with("sysrq") ? 6 : 4);
    }
    add("Starting crashdump kernel...", 5);
    put_printk_ring(m_, lines);
  }

  void symbols() {
    std::vector<KallsymsSymbol> all{{m_.stext().value, 'T', "_stext"}};
    for (const std::string& name : functions_) all.push_back({function(name), 'T', name});
    all.push_back({m_.etext().value, 'T', "_etext"});
    if (options_.data_symbols) {
      for (const auto& [name, va] : variables_) all.push_back({va.value, 'D', name});
    }
    std::stable_sort(all.begin(), all.end(),
                     [](const KallsymsSymbol& a, const KallsymsSymbol& b) { return a.address < b.address; });
    put_kallsyms(m_, all);
  }

  const SceneOptions& options_;
  Scene& scene_;
  DumpBuilder& m_;
  const SceneArch& arch_;
  const std::vector<std::string> functions_;
  std::map<std::string, VirtAddr> variables_;
  VirtAddr trigger_, idle_, mm_;
  std::vector<VirtAddr> counters_;  // percpu_counter.counters of every mm_struct's anonymous pages
};

}  // namespace

Scene::Scene(const SceneOptions& options) : machine(std::make_unique<DumpBuilder>(options.machine)) {
  Builder(options, *this).build();
}

}  // namespace kdk::test
