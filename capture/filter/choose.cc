#include "capture/filter/choose.h"

#include <fmt/format.h>

namespace kdk {
namespace {

void note_contradictions(PageChoice& choice) {
  const Scan& scan = choice.scan;
  if (scan.pinned_conflicts != 0) {
    choice.notes.push_back(
        fmt::format("{} pages in use by the kernel are marked as if they could go; they are kept",
                    scan.pinned_conflicts));
  }
  const uint64_t odd = scan.bad_orders + scan.broken_compounds;
  if (odd != 0)
    choice.notes.push_back(fmt::format("{} struct pages contradict themselves; their pages are kept", odd));
  const uint64_t unknown = scan.of(PageClass::unknown).found;
  if (unknown != 0)
    choice.notes.push_back(fmt::format("{} pages have no readable struct page; they are kept", unknown));
}

// What the level or safety would leave out, but this kernel names no mark for. Most of these kernels have no
// such pages.
void note_unmarked(const PageMarkers& markers, unsigned level, PageChoice& choice) {
  std::string& kinds = choice.unmarked;
  const auto need = [&](bool marked, bool wanted, std::string_view kind) {
    if (!marked && wanted) kinds += fmt::format("{}{}", kinds.empty() ? "" : ", ", kind);
  };
  need(markers.buddy.has_value(), (level & level_free) != 0, "free");
  need(markers.unaccepted.has_value(), (level & level_free) != 0, "unaccepted");
  need(markers.lru.has_value(), (level & (level_cache | level_cache_private)) != 0, "cache");
  need(markers.hugetlb || markers.hugetlb_bit || markers.hugetlb_dtor, (level & level_user) != 0, "hugetlb");
  need(markers.hwpoison.has_value(), true, "poisoned");
  need(markers.offline.has_value(), true, "offline");
  if (!kinds.empty()) {
    choice.notes.push_back(
        "pages of these kinds bear no mark on this kernel and are kept, if there are any: " + kinds);
  }
}

// Throws when struct pages cannot be used.
void filter_pages(const Dump& dump, Kernel& kernel, const ChooseRequest& asked, PageChoice& choice) {
  KernelMemory& memory = kernel.memory();
  const PageMarkers markers = read_page_markers(kernel.vmcoreinfo());
  MemMap map(memory, markers);
  choice.memory_model = map.model();
  note_unmarked(markers, asked.level, choice);
  choice.pins = find_pins(kernel, map, markers);
  ScanRequest request;
  request.level = asked.level;
  request.pinned = &choice.pins->ranges;
  request.stop = asked.stop;
  request.progress = asked.progress;
  choice.scan = scan_pages(memory, map, markers, dump.ram(), request);
  if (!choice.scan.complete) return;
  choice.free_check = check_free_pages(kernel, map, markers, choice.scan);
  const FreeCheck& check = *choice.free_check;
  if (check.result == FreeCheck::Result::more_found && (asked.level & level_free) != 0) {
    choice.level = request.level = asked.level & ~unsigned{level_free};
    choice.why_level = check.detail;
    choice.reasons.push_back(
        fmt::format("free pages are saved too, because the marks are not to be trusted: {}", check.detail));
    choice.scan = scan_pages(memory, map, markers, dump.ram(), request);
  } else if (check.result == FreeCheck::Result::fewer_found) {
    choice.notes.push_back("the dump may be larger than it need be: " + check.detail);
  }
  // Looking at them costs time that only pays when they go.
  if ((choice.level & level_free) != 0) {
    choice.cpu_lists = find_cpu_lists(kernel, map, markers, choice.scan);
    exclude_cpu_lists(*choice.cpu_lists, choice.level, choice.pins->ranges, choice.scan);
    if (!choice.cpu_lists->problem.empty()) {
      choice.notes.push_back(fmt::format("{}free pages on lists of CPUs are kept: {}",
                                         choice.cpu_lists->pages == 0 ? "" : "some ",
                                         choice.cpu_lists->problem));
    }
  }
  note_contradictions(choice);
  choice.order = order_pages(kernel, map, *choice.pins, choice.scan);
}

void keep_all(const Dump& dump, const ChooseRequest& asked, const std::string& why, PageChoice& choice) {
  choice.scan = keep_everything(dump.ram());
  choice.level = asked.level & level_zero;
  if (choice.level != asked.level) {
    choice.why_level = why;
    choice.reasons.push_back("pages cannot be told apart, so all are saved: " + why);
  } else {
    choice.notes.push_back("poisoned and offline pages cannot be told apart: " + why);
  }
}

// Pages that the input itself leaves out get no descriptor.
void drop_absent_pages(const Dump& dump, PageChoice& choice) {
  PfnBitmap& keep = choice.scan.keep;
  for (const PfnRange& range : dump.ram()) {
    for (Pfn pfn = range.begin; pfn < range.end; pfn = pfn + 1) {
      if (!keep.test(pfn)) continue;
      const PageState state = dump.state(pfn);
      if (state == PageState::present || state == PageState::unreadable) continue;
      keep.clear(pfn);
      ++choice.excluded_before;
    }
  }
}

}  // namespace

PageChoice choose_pages(const Dump& dump, Kernel* kernel, const ChooseRequest& request) {
  PageChoice choice;
  choice.level = request.level;
  if (kernel == nullptr) {
    keep_all(dump, request, request.why_not, choice);
  } else {
    try {
      filter_pages(dump, *kernel, request, choice);
    } catch (const Error& e) {  // the dump is saved all the same, with more pages than need be
      keep_all(dump, request, e.message(), choice);
    }
  }
  drop_absent_pages(dump, choice);
  return choice;
}

}  // namespace kdk
