#include "core/formats/vmcoreinfo.h"

#include <string>

#include "core/base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  kdk::Vmcoreinfo info = kdk::Vmcoreinfo::parse(kdk::as_text({data, size}));
  // Whatever was parsed can be found again under its own key.
  for (std::string_view key : {"OSRELEASE", "PAGESIZE", "SYMBOL(_stext)", "NUMBER(VA_BITS)", ""}) {
    if (info.value(key) && info.empty()) __builtin_trap();
  }
  info.symbol("_stext");
  info.size("page");
  info.offset("page.flags");
  info.length("free_area");
  info.number("VA_BITS");
  info.hex("KERNELOFFSET");
  info.decimal("PAGESIZE");
  try {
    info.require_symbol("_stext");
    info.require_number("VA_BITS");
  } catch (const kdk::Error&) {
  }
  // A file given by the user: refused, or a text that has the key every VMCOREINFO has.
  try {
    if (!kdk::Vmcoreinfo::parse(kdk::vmcoreinfo_text({data, size}, "fuzz")).value("OSRELEASE"))
      __builtin_trap();
  } catch (const kdk::Error&) {
  }
  // The text that is kept parses to the same values.
  if (kdk::Vmcoreinfo::parse(info.text()).number("VA_BITS") != info.number("VA_BITS")) __builtin_trap();
  return 0;
}
