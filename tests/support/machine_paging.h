// How a synthetic machine's page tables are encoded: written from the manuals, apart from the translators
// under test.
#pragma once

#include <cstdint>
#include <memory>

namespace kdk::test {

struct MachineOptions;

class Paging {
 public:
  enum class Kind { invalid, table, leaf };
  virtual ~Paging() = default;
  virtual uint64_t table(uint64_t pa) const = 0;
  virtual uint64_t leaf(uint64_t pa, unsigned height) const = 0;  // height 0 = last level
  virtual Kind kind(uint64_t entry, unsigned height) const = 0;
  virtual uint64_t address(uint64_t entry, unsigned height) const = 0;
  virtual bool leaf_allowed(unsigned height) const = 0;
};

// For the architecture that `options` describe.
std::unique_ptr<Paging> make_paging(const MachineOptions& options);

}  // namespace kdk::test
