#include "loader/plan/plan_text.h"

#include <fmt/format.h>

#include "core/base/log.h"

namespace kdk {
namespace {

std::string size_text(uint64_t bytes) {
  if (bytes < 10 << 10) return fmt::format("{} B", bytes);
  if (bytes < 10 << 20) return fmt::format("{} KiB", bytes >> 10);
  return fmt::format("{} MiB", bytes >> 20);
}

std::string joined(const std::vector<std::string>& words) {
  std::string all;
  for (const std::string& word : words) all += (all.empty() ? "" : " ") + escape_untrusted(word);
  return all;
}

void add_inputs(std::string& out, const LoadPlan& plan) {
  const KernelInfo& image = plan.image;
  std::string facts = image.release.empty() ? "" : escape_untrusted(image.release) + ", ";
  facts += fmt::format("{}, compression {}, ", image.format, image.compression);
  facts += image.page_size == 0 ? "unknown page size" : fmt::format("{} KiB pages", image.page_size >> 10);
  out += fmt::format("machine   {}, loads by {} ({})\n", plan.architecture->name, to_string(plan.call),
                     escape_untrusted(plan.call_reason));
  out += fmt::format("kernel    {} ({}, {})\n", escape_untrusted(plan.kernel.path),
                     size_text(plan.kernel.size), facts);
  if (plan.initrd) {
    out += fmt::format("initrd    {} ({})\n", escape_untrusted(plan.initrd->name()),
                       size_text(plan.initrd->size));
  } else {
    out += "initrd    none\n";
  }
  for (size_t i = plan.crash_regions.size(); i-- > 0;) {
    const Range& region = plan.crash_regions[i];
    out += fmt::format("region    {} {} ({})\n", i + 1 == plan.crash_regions.size() ? "main" : "low ",
                       to_string(region), size_text(region.size));
  }
}

void add_command_line(std::string& out, const LoadPlan& plan) {
  const CommandLine& line = plan.command_line;
  out += fmt::format("\ncommand line ({}):\n  {}\n", line.source, escape_untrusted(line.text));
  if (!line.removed.empty()) out += fmt::format("  removed: {}\n", joined(line.removed));
  if (!line.added.empty()) out += fmt::format("  added:   {}\n", joined(line.added));
}

void add_segments(std::string& out, const LoadPlan& plan) {
  if (plan.call == LoadCall::kexec_file_load) {
    out += "\nsegments, made by the kernel, about here:\n";
  } else {
    out += fmt::format("\nsegments (entry {:#x}):\n", plan.entry.value_or(0));
  }
  for (const ExpectedSegment& segment : plan.expected) {
    out += fmt::format("  {:<13} {:#014x}-{:#014x}  {:>9}{}\n", segment.name, segment.memory.start,
                       segment.memory.end() - 1, size_text(segment.memory.size),
                       segment.estimated ? " at most" : "");
  }
  for (const Segment& segment : plan.segments) {
    out += fmt::format("  {:<11} {:#014x}-{:#014x}  {:>9}, {} bytes of data\n", segment.name,
                       segment.memory.start, segment.memory.end() - 1, size_text(segment.memory.size),
                       segment.data.size());
  }
}

// Of the program headers, when CPUs or memory come or go.
void add_upkeep(std::string& out, const LoadPlan& plan) {
  out += plan.header_upkeep == HeaderUpkeep::kernel
             ? "\nhotplug: the running kernel keeps the program headers right by itself\n"
             : "\nhotplug: the running kernel cannot follow it; kdump-load reload loads again\n";
}

void add_digest_line(std::string& out, const LoadPlan& plan) {
  const DigestPlan& digest = plan.digest;
  out += fmt::format("digest    {} ({})", digest.on ? "on" : "off", escape_untrusted(digest.reason));
  if (digest.on && digest.bytes != 0)
    out += fmt::format(": {}, about {:.2f} s", size_text(digest.bytes), digest.seconds);
  out += "\n";
}

void add_program_headers(std::string& out, const LoadPlan& plan, bool verbose) {
  if (!plan.addresses) return;
  out +=
      fmt::format("\nprogram headers of the crashed machine (addresses from {}):\n", plan.addresses->source);
  size_t hidden = 0;
  for (const CoreHeader& header : plan.core_headers) {
    bool is_note = header.kind == CoreHeader::Kind::cpu_note;
    if (is_note && !verbose && header.cpu > 3) {
      ++hidden;
      continue;
    }
    std::string name =
        is_note ? fmt::format("cpu {} note", *header.cpu) : std::string(to_string(header.kind));
    out += fmt::format("  {:<12} {:#014x}-{:#014x}  {:>9}", name, header.memory.start,
                       header.memory.end() - 1, size_text(header.memory.size));
    out += header.vaddr != 0 ? fmt::format("  at {:#x}\n", header.vaddr) : "\n";
  }
  if (hidden != 0) out += fmt::format("  and {} more CPU notes (-v lists them)\n", hidden);
}

void add_dtb_edits(std::string& out, const LoadPlan& plan) {
  if (!plan.device_tree) return;
  out += fmt::format("\ndevice tree (from {}):\n", escape_untrusted(plan.device_tree->source));
  for (const DtbEdit& edit : plan.device_tree->edits) {
    out += fmt::format("  {:<9} {}{}{}\n", edit.action, escape_untrusted(edit.target),
                       edit.value.empty() ? "" : " = ", escape_untrusted(edit.value));
  }
}

void add_checks(std::string& out, const LoadPlan& plan) {
  out += "\nchecks:\n";
  for (const Check& check : plan.checks) {
    std::string_view word = check.status == Check::Status::failed ? "FAILED" : to_string(check.status);
    out += fmt::format("  {:<8} {:<16} {}\n", word, check.name, escape_untrusted(check.detail));
  }
}

}  // namespace

std::string plan_to_text(const LoadPlan& plan, bool verbose) {
  std::string out;
  add_inputs(out, plan);
  add_digest_line(out, plan);
  add_command_line(out, plan);
  add_segments(out, plan);
  add_program_headers(out, plan, verbose);
  add_upkeep(out, plan);
  add_dtb_edits(out, plan);
  add_checks(out, plan);
  return out;
}

std::string status_to_text(const LoadStatus& status) {
  std::string out;
  switch (status.state) {
    case LoadStatus::State::armed:
      out += "armed: a crash kernel is loaded\n";
      break;
    case LoadStatus::State::stale:
      out += "stale: a crash kernel is loaded, but no longer fits this machine; load it again\n";
      break;
    case LoadStatus::State::not_armed:
      out += "not armed: no crash kernel is loaded\n";
      break;
  }
  for (const std::string& reason : status.reasons) out += fmt::format("  {}\n", escape_untrusted(reason));
  if (status.reserved_bytes) out += fmt::format("reserved      {}\n", size_text(*status.reserved_bytes));
  if (status.follows_cpus || status.follows_memory) {
    auto word = [](const std::optional<bool>& follows) { return follows == true ? "yes" : "no"; };
    out += fmt::format("hotplug       followed by the kernel: CPUs {}, memory {}\n",
                       word(status.follows_cpus), word(status.follows_memory));
  }
  if (status.crash_test) out += crash_test_to_text(*status.crash_test);
  if (!status.record) return out;
  const LoadRecord& record = *status.record;
  out += fmt::format("loaded        {}\n", escape_untrusted(record.loaded_at));
  out += fmt::format("kernel        {} (sha256 {})\n", escape_untrusted(record.kernel.path),
                     escape_untrusted(record.kernel.sha256));
  if (record.initrd) {
    out += fmt::format("initrd        {} (sha256 {})\n", escape_untrusted(record.initrd->name()),
                       escape_untrusted(record.initrd->sha256));
  }
  out += fmt::format("command line  {}\n", escape_untrusted(record.command_line));
  return out;
}

}  // namespace kdk
