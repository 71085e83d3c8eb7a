#include "analyze/inspect/block_requests.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "analyze/inspect/types/walks.h"

namespace kdk {
namespace {

constexpr uint64_t most_queues = 8192, most_tags = uint64_t{1} << 17;
constexpr uint64_t operation_mask = 0xff;  // REQ_OP_MASK

class Reader {
 public:
  Reader(Objects& objects, const Object& queue, const KernelClock& clock, BlockDevice& out,
         Problems& problems)
      : objects_(objects), queue_(queue), clock_(clock), out_(out), problems_(problems) {
    const Layout& layout = objects.kernel().layout();
    idle_ = static_cast<uint64_t>(layout.enumerator("MQ_RQ_IDLE").value_or(0));
    in_flight_ = static_cast<uint64_t>(layout.enumerator("MQ_RQ_IN_FLIGHT").value_or(1));
  }

  void run() {
    const auto set = queue_.target("tag_set");
    if (!set) return;  // its I/O is no requests
    const uint64_t queues = std::min(set->number("nr_hw_queues").value_or(0), most_queues);
    if (const auto array = set->pointer("tags")) {
      for (uint64_t i = 0; i < queues; ++i) {
        const auto tags = objects_.memory().u64(*array + i * 8);
        if (tags.value_or(0) != 0) in_driver(objects_.at("blk_mq_tags", {*tags}));
      }
    }
    if (!queue_.pointer("elevator")) return;
    // Linux commit e155b0c238b2 ("blk-mq: Use shared tags for shared sbitmap support") (in v5.16).
    if (const auto shared = queue_.target("sched_shared_tags")) {
      waiting(*shared);
      return;
    }
    for (const Object& hardware : hardware_queues()) {
      if (const auto tags = hardware.target("sched_tags")) waiting(*tags);
    }
  }

 private:
  // Linux commits 4e5cc99e1e48 ("blk-mq: manage hctx map via xarray") (in v5.18) and d0c98769ee7d ("blk-mq:
  // use array manage hctx map instead of xarray") (in v6.19).
  std::vector<Object> hardware_queues() {
    std::vector<Object> out;
    const uint64_t count = std::min(queue_.number("nr_hw_queues").value_or(0), most_queues);
    if (const auto array = queue_.pointer("queue_hw_ctx")) {
      for (uint64_t i = 0; i < count; ++i) {
        const auto at = objects_.memory().u64(*array + i * 8);
        if (at.value_or(0) != 0) out.push_back(objects_.at("blk_mq_hw_ctx", {*at}));
      }
    } else if (const auto table = queue_.place("hctx_table")) {
      const Walk walk = walk_xarray(objects_.types(), *table);
      if (!walk.problem.empty()) problems_.add(fmt::format("the queues of {}: {}", out_.name, walk.problem));
      for (const WalkItem& item : walk.items) out.push_back(objects_.at("blk_mq_hw_ctx", {item.value}));
    }
    return out;
  }

  template <typename Visit>
  void each(const Object& tags, std::string_view array, Visit&& visit) {
    if (!tables_.insert(tags.address()).second) return;
    const auto count = tags.number("nr_tags");
    const auto requests = tags.pointer(array);
    if (!count || !requests || *count > most_tags) {
      problems_.add(fmt::format("the tags of {} at {:#x} cannot be read", out_.name, tags.address()));
      return;
    }
    for (uint64_t tag = 0; tag < *count; ++tag) {
      const auto request = objects_.memory().u64(*requests + tag * 8);
      if (request.value_or(0) != 0) visit(objects_.at("request", {*request}), tag);
    }
  }

  // A tag leads to the request that had it last. Tables are shared by the queues of a host adapter.
  void in_driver(const Object& tags) {
    each(tags, "rqs", [&](const Object& request, uint64_t tag) {
      if (request.number("q") == queue_.address() && request.number("tag") == tag &&
          request.number("state") == in_flight_)
        add(request, true);
    });
  }
  void waiting(const Object& tags) {
    each(tags, "static_rqs", [&](const Object& request, uint64_t) {
      const auto references = request.first_number({"ref.refs.counter", "ref.counter", "ref"});
      if (request.number("q") == queue_.address() && request.number("state") == idle_ &&
          references.value_or(0) != 0)
        add(request, false);
    });
  }

  void add(const Object& request, bool in_driver) {
    if (!seen_.insert(request.address()).second) return;
    BlockRequest out;
    out.address = request.address();
    out.in_driver = in_driver;
    out.operation = operation(request.number("cmd_flags").value_or(0) & operation_mask);
    out.sector = request.number("__sector");
    out.bytes = request.number("__data_len");
    const uint64_t begun = request.number("start_time_ns").value_or(0);
    if (begun != 0 && clock_.monotonic_ns && begun < INT64_MAX)
      out.age_ns = static_cast<int64_t>(*clock_.monotonic_ns) - static_cast<int64_t>(begun);
    out_.requests.push_back(std::move(out));
  }

  // "READ" of REQ_OP_READ, as the kernel's own enumeration has it.
  std::string operation(uint64_t number) {
    const Btf* types = objects_.types().types();
    for (const std::string_view name : {"req_op", "req_opf"}) {
      const auto id = types->find(name);
      const auto record = id ? types->record(*id) : std::nullopt;
      if (!record) continue;
      for (const auto& each : record->enumerators) {
        constexpr std::string_view prefix = "REQ_OP_";
        if (each.value == static_cast<int64_t>(number) && each.name.starts_with(prefix))
          return std::string(each.name.substr(prefix.size()));
      }
    }
    return fmt::format("{}", number);
  }

  Objects& objects_;
  Object queue_;
  const KernelClock& clock_;
  BlockDevice& out_;
  Problems& problems_;
  uint64_t idle_ = 0, in_flight_ = 1;  // enum mq_rq_state
  std::set<uint64_t> tables_, seen_;
};

}  // namespace

void read_requests(Objects& objects, const Object& queue, const KernelClock& clock, BlockDevice& out,
                   Problems& problems) {
  Reader(objects, queue, clock, out, problems).run();
}

}  // namespace kdk
