// BTF: the input is parsed as vmlinux's BTF and as a module's on top of a good one, then asked about
// everything.
#include <algorithm>
#include <cstdlib>

#include "core/kernel/btf.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  static const std::unique_ptr<Btf> base = [] {
    // One int type "u": enough for split BTF to refer to.
    std::vector<uint8_t> bytes = {0x9f, 0xeb, 1, 0, 24, 0, 0,  0, 0, 0, 0, 0,   16, 0, 0,
                                  0,    16,   0, 0, 0,  3, 0,  0, 0, 1, 0, 0,   0,  0, 0,
                                  0,    1,    4, 0, 0,  0, 32, 0, 0, 0, 0, 'u', 0};
    return Btf::parse(bytes);
  }();
  for (const Btf* below : {static_cast<const Btf*>(nullptr), static_cast<const Btf*>(base.get())}) {
    try {
      const auto btf = Btf::parse(std::vector<uint8_t>(data, data + size), below);
      for (const char* type : {"task_struct", "list_head", "page", "module", "u", "loop"}) {
        (void)btf->size_of(type);
        (void)btf->has_struct(type);
        for (const char* path : {"comm", "thread.cpu_context.sp", "next", "order", "mem", "a.b.c"}) {
          const auto member = btf->member(type, path);
          if (member && member->offset() > (uint64_t{1} << 34)) abort();  // 32 bits per level of nesting
          (void)btf->array_length(type, path);
        }
      }
      (void)btf->enumerator("MODULE_STATE_GOING");
      (void)btf->variable("u");
      // By number, as who walks along members and prints declarations does; one number too many.
      for (uint32_t id = 0; id <= std::min<size_t>(btf->type_count(), 1000); ++id) {
        (void)btf->type(id);
        (void)btf->member(id, "next");
        const std::optional<Btf::Record> record = btf->record(id);
        if (record.has_value() != (id < btf->type_count())) abort();
        if (!record || record->name.empty()) continue;
        for (uint32_t other : btf->named(record->name)) {
          if (other >= btf->type_count()) abort();
        }
      }
    } catch (const Error&) {
    }
  }
  return 0;
}
