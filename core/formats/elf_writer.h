// Writer of filtered ELF vmcores, for gdb and for programs that know nothing else.
//
// Pages lie in the file in the order of their page frames, uncompressed. Each run of saved pages is a
// PT_LOAD; the pages that are left out after it are the difference of p_filesz and p_memsz. Pages of zeros
// are holes of the file: they take no space on disk, and nobody has to read all pages twice to know where
// they are.
//
// A program header claims pages, so the headers come last: until finish() the file says that it is incomplete
// and that every page was left out. What could not be written is never claimed.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/formats/dump_output.h"
#include "core/formats/kdump_writer.h"
#include "core/formats/page_sink.h"

namespace kdk {

struct ElfCoreHeader {
  uint16_t machine = 0;  // EM_*
  uint32_t page_size = 4096;
  Bytes notes;  // raw PT_NOTE bytes
  // Virtual minus physical address of the kernel's linear mapping, modulo 2^64; nullopt: unknown, p_vaddr is
  // 0.
  std::optional<uint64_t> linear_offset;
  // Page frames with a second virtual address: the kernel image. They share the data in the file.
  struct Mapping {
    uint64_t vaddr = 0;
    PfnRange pfns;
  };
  std::vector<Mapping> mappings;
};

class ElfWriter : public PageSink {
 public:
  // Writes headers and notes to `output`, which is empty, rewritable and must outlive the writer. `ram`:
  // sorted, disjoint; `dumped`: the pages that will come. Throws Error{io}, Error{unsupported}.
  ElfWriter(DumpOutput& output, std::string name, const ElfCoreHeader& header, std::vector<PfnRange> ram,
            const PfnBitmap& dumped);
  bool compressed() const override { return false; }
  size_t write(const PageBatch& batch) override;
  void finish(bool complete) override;
  uint64_t size() const override { return data_end_; }
  uint64_t left_out() const override { return left_out_; }

 private:
  struct Segment {
    uint64_t vaddr = 0;
    PfnRange present;     // in the file
    uint64_t memory = 0;  // page frames that it describes, from present.begin
  };
  std::vector<Segment> segments(const PfnBitmap& present) const;
  void limit_runs(std::vector<PfnRange>& runs);
  uint64_t file_offset(Pfn pfn) const;
  // Takes pages out of present_ that the file has no place or no program header for.
  void fit_capacity();
  void fit_size(uint64_t size);
  void leave_out(PfnRange range);
  std::vector<uint8_t> headers(const std::vector<Segment>& segments, bool complete) const;

  DumpOutput& output_;
  const std::string name_;
  const ElfCoreHeader header_;
  const std::vector<PfnRange> ram_;
  std::vector<PfnRange> runs_;     // that have a place in the file
  std::vector<uint64_t> offsets_;  // beside runs_
  size_t capacity_ = 0;            // segments that there is room for
  uint64_t notes_offset_ = 0, data_end_ = 0;
  uint64_t left_out_ = 0;
  std::mutex mutex_;
  PfnBitmap present_;  // what the file may claim
};

}  // namespace kdk
