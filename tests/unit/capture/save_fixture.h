// Synthetic machines for tests of whole captures.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "capture/save.h"
#include "core/base/file.h"
#include "core/formats/dump.h"
#include "tests/support/log_builder.h"
#include "tests/support/page_builder.h"

namespace kdk::test {

class Save : public ::testing::Test {
 protected:
  Save() {
    std::string name = std::filesystem::temp_directory_path() / "kdk_save_XXXXXX";
    dir_ = ::mkdtemp(name.data());
    options_.output = dir_ / "out";
    options_.progress = ProgressMode::none;
    options_.threads = 2;
  }
  ~Save() override { std::filesystem::remove_all(dir_); }

  // A small machine with a log and two blocks that can go.
  void make_machine() {
    pages_ = std::make_unique<PageBuilder>(machine_);
    LogLine boot, panic;
    boot.text = "Booting";
    panic.text = "Kernel panic - not syncing: test";
    put_printk_ring(machine_, {boot, panic});
    free_ = machine_.pfn_of({align_up(machine_.alloc_pages(24).value, 8 * 4096)});
    cache_ = free_ + 8;
    pages_->set(free_, 3, PageClass::buddy);
    pages_->set(cache_, 0, PageClass::cache);
    for (uint64_t i = 0; i < 16; ++i) fill(free_ + i);
  }
  void fill(Pfn pfn) {
    std::vector<uint8_t> bytes(4096);
    uint64_t x = pfn.value;
    for (uint8_t& b : bytes)
      b = static_cast<uint8_t>((x = x * 6364136223846793005u + 1442695040888963407u) >> 56);
    machine_.put_phys({pfn.value * 4096}, bytes);
  }
  void write_input(const std::vector<uint8_t>& bytes, const char* name = "in") {
    options_.inputs = {dir_ / name};
    write_file_atomic(options_.inputs[0], bytes);
  }
  CaptureReport save() { return save_dump(options_, stop_); }
  nlohmann::json summary() {
    std::ifstream file(*options_.summary);
    return nlohmann::json::parse(file);
  }
  std::vector<std::string> files() {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(dir_))
      names.push_back(entry.path().filename());
    std::ranges::sort(names);
    return names;
  }
  // Every page of `copy` that is present equals the machine's; returns how many there are.
  uint64_t check_pages(const Dump& copy) {
    const std::unique_ptr<PageReader> reader = copy.reader();
    uint64_t present = 0;
    for (const PfnRange& range : machine_.ram()) {
      for (Pfn pfn = range.begin; pfn < range.end; pfn = pfn + 1) {
        const PageView view = reader->page(pfn);
        if (view.state != PageState::present) continue;
        ++present;
        if (!std::ranges::equal(view.bytes, machine_.page(pfn))) ADD_FAILURE() << "pfn " << pfn.value;
      }
    }
    return present;
  }

  std::filesystem::path dir_;
  SaveOptions options_;
  std::atomic<bool> stop_ = false;
  DumpBuilder machine_;
  std::unique_ptr<PageBuilder> pages_;
  Pfn free_, cache_;
};

}  // namespace kdk::test
