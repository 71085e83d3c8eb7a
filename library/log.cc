// The kernel log.
#include "library/handle.h"

using namespace kdk;

int kdumpkit_dump_log(kdumpkit_dump* dump, kdumpkit_log** log, kdumpkit_error** error) {
  return make_result(dump, log, error, [&](Owned<kdumpkit_log>& out) {
    dump->kernel();
    const KernelLog& read = dump->opened.log();
    if (read.records.empty() && !read.problems.empty()) throw Error(Errc::missing, read.problems.front());
    // include/linux/printk.h, kernel/printk/printk.c printk_caller_id(): a CPU outside of tasks.
    constexpr uint32_t of_cpu = 0x80000000;
    std::vector<const kdumpkit_record*> items;
    for (const LogRecord& record : read.records) {
      kdumpkit_record& item = out.arena.make<kdumpkit_record>();
      item.sequence = record.seq;
      item.time_ns = record.time_ns;
      item.level = record.level;
      item.facility = record.facility;
      item.pid = item.cpu = -1;
      if ((record.caller_id & of_cpu) != 0) {
        item.cpu = record.caller_id & ~of_cpu;
      } else if (record.caller_id != 0) {
        item.pid = record.caller_id;
      }
      item.incomplete = record.incomplete;
      item.truncated = record.truncated;
      item.text = out.arena.raw(record.text);
      item.text_size = record.text.size();
      item.line = out.arena.raw(format_record(record));  // escapes by itself, and keeps line ends
      item.subsystem = out.arena.text(record.subsystem);
      item.device = out.arena.text(record.device);
      items.push_back(&item);
    }
    out.set_items(items);
    out.problems = out.arena.strings(read.problems);
  });
}

void kdumpkit_log_free(kdumpkit_log* log) {
  free_owned(log);
}
