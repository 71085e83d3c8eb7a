// Builds BTF for tests: types in the order added, ids from 1, encoded from include/uapi/linux/btf.h.
//
//   BtfBuilder btf;
//   uint32_t u64 = btf.integer("u64", 8);
//   btf.structure("task_struct", 16, {{"pid", u64, 0}, {"flags", u64, 64}});
//   machine.put(address, btf.bytes());
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kdk::test {

class BtfBuilder {
 public:
  struct Member {
    std::string name;  // "" = anonymous
    uint32_t type = 0;
    uint32_t bit_offset = 0;
    uint32_t bitfield_size = 0;  // bits; any non-zero one turns the struct's kind_flag on
  };

  // `first_id` and `first_string` for split BTF: the base's type_count() and string_bytes().
  explicit BtfBuilder(uint32_t first_id = 1, uint32_t first_string = 0);

  // `bits` 0: all of the size; else an old-style bit field type of that many bits at `bit_offset`.
  uint32_t integer(std::string_view name, uint32_t bytes, uint32_t bits = 0, uint32_t bit_offset = 0);
  uint32_t signed_integer(std::string_view name, uint32_t bytes) {
    return raw(string(name), 1u << 24, bytes, {1u << 24 | bytes * 8});
  }
  uint32_t function_type(uint32_t returns) { return raw(0, 13u << 24, returns); }  // without parameters
  // A struct that is only declared.
  uint32_t forward(std::string_view name) { return raw(string(name), 7u << 24, 0); }
  uint32_t pointer(uint32_t to) { return reference(2, "", to); }
  uint32_t array(uint32_t element, uint32_t count);
  uint32_t structure(std::string_view name, uint32_t bytes, const std::vector<Member>& members);
  uint32_t union_of(std::string_view name, uint32_t bytes, const std::vector<Member>& members);
  uint32_t type_definition(std::string_view name, uint32_t to) { return reference(8, name, to); }
  uint32_t constant(uint32_t to) { return reference(10, "", to); }
  uint32_t volatile_of(uint32_t to) { return reference(9, "", to); }
  uint32_t type_tag(std::string_view name, uint32_t to) { return reference(18, name, to); }
  uint32_t enumeration(std::string_view name, const std::vector<std::pair<std::string, uint32_t>>& values,
                       bool is_signed = false);
  uint32_t enumeration64(std::string_view name, const std::vector<std::pair<std::string, uint64_t>>& values);
  uint32_t variable(std::string_view name, uint32_t type) { return raw(string(name), 14u << 24, type, {1}); }
  // One of each kind that look-ups step over: fwd, func_proto, func, var, datasec, float, decl_tag.
  void others(uint32_t type);
  // A type of any kind, to be put together by hand; `info` as in struct btf_type.
  uint32_t raw(uint32_t name, uint32_t info, uint32_t size_or_type, const std::vector<uint32_t>& words = {});

  uint32_t type_count() const { return next_id_; }
  uint32_t string_bytes() const { return first_string_ + static_cast<uint32_t>(strings_.size()); }
  std::vector<uint8_t> bytes() const;

 private:
  uint32_t string(std::string_view text);
  uint32_t reference(uint32_t kind, std::string_view name, uint32_t to) {
    return raw(string(name), kind << 24, to);
  }
  uint32_t aggregate(uint32_t kind, std::string_view name, uint32_t bytes,
                     const std::vector<Member>& members);
  void word(uint32_t value);

  uint32_t next_id_;
  uint32_t first_string_;
  std::vector<uint8_t> types_;
  std::string strings_;
};

}  // namespace kdk::test
