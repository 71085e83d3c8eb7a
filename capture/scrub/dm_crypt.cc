// Keys of dm-crypt, and the ciphers' contexts that hold their schedules: from the tree of device-mapper
// devices (drivers/md/dm-ioctl.c, name_rb_tree) over their tables to each target of type "crypt", whose
// private data is struct crypt_config (drivers/md/dm-crypt.c). Device-mapper and dm-crypt are modules on most
// kernels: names and types come from the modules' own tables.
//
// Older kernels keep the devices in a hash table instead; they have no such tree, and are told apart by that.
#include <fmt/format.h>

#include <unordered_set>

#include "capture/scrub/eraser.h"
#include "core/kernel/slab_pages.h"
#include "core/base/error.h"

namespace kdk {
namespace {

constexpr size_t most_devices = 1 << 16;
constexpr size_t most_algorithms = 1 << 16;
constexpr int deepest_cipher = 4;  // simd(cryptd(xts(ecb))) has three below it
constexpr uint64_t most_targets = 1 << 20, most_tfms = 1 << 12;

class DmCrypt {
 public:
  explicit DmCrypt(Eraser& eraser) : eraser_(eraser), types_(eraser.types()) {}

  void run() {
    if (!has_module("dm_crypt") && !types_.find_type("crypt_config")) return;  // no such keys anywhere
    const std::vector<VirtAddr> roots = types_.variable("name_rb_tree").at;
    const TypeRef cell = types_.require_type("hash_cell");
    config_ = types_.require_type("crypt_config");
    const auto node = cell.btf->member(cell.id, "name_node");
    if (!node) throw Error(Errc::missing, "hash_cell has no member name_node");
    bool go_on = true;
    for (const VirtAddr root : roots) {
      walk_tree(types_, root, most_devices, [&](VirtAddr at) {
        if (go_on) go_on = eraser_.item([&] { erase_device({at - node->offset(), cell}); });
      });
    }
  }

 private:
  bool has_module(std::string_view name) {
    for (const Module& module : types_.modules().modules) {
      if (module.name == name) return true;
    }
    return false;
  }

  // The table in use, and the one that waits to be.
  void erase_device(const TypedPlace& cell) {
    const TypeRef table = types_.require_type("dm_table");
    for (const char* path : {"md.map", "new_map"}) {
      const std::optional<uint64_t> at = types_.number(cell, path);
      if (at && *at != 0) erase_table({{*at}, table});
    }
  }

  void erase_table(const TypedPlace& table) {
    const uint64_t count = types_.number(table, "num_targets").value_or(0);
    const uint64_t first = types_.number(table, "targets").value_or(0);
    if (count > most_targets) throw Error(Errc::format, fmt::format("a table of {} targets", count));
    const TypeRef target = types_.require_type("dm_target");
    const uint64_t size = target.btf->type(target.id)->size;
    for (uint64_t i = 0; first != 0 && i < count; ++i) {
      const TypedPlace each{{first + i * size}, target};
      const std::optional<uint64_t> name = types_.number(each, "type.name");
      if (!name || types_.memory().string({*name}, 32).value_or("") != "crypt") continue;
      const std::optional<uint64_t> config = types_.number(each, "private");
      if (config && *config != 0) erase_config({{*config}, config_});
    }
  }

  void erase_config(const TypedPlace& config) {
    ScrubRule rule;
    rule.member = "key";
    rule.length_member = "key_size";
    eraser_.erase_member(rule, config);
    // Beside the key: the ciphers' contexts, with the key's schedule.
    const uint64_t count = types_.number(config, "tfms_count").value_or(0);
    const uint64_t tfms = types_.number(config, "cipher_tfm.tfms").value_or(0);
    if (count > most_tfms) throw Error(Errc::format, fmt::format("a target with {} ciphers", count));
    for (uint64_t i = 0; tfms != 0 && i < count; ++i) {
      const std::optional<uint64_t> tfm = types_.memory().u64({tfms + i * 8});
      if (tfm) erase_cipher(*tfm, 0);
    }
  }

  // The algorithms that the kernel knows: what tells a cipher from other memory.
  void list_algorithms() {
    if (listed_) return;
    listed_ = true;
    const TypeRef alg = types_.require_type("crypto_alg");
    const auto link = alg.btf->member(alg.id, "cra_list");
    if (!link) throw Error(Errc::missing, "crypto_alg has no member cra_list");
    walk_list(types_.memory(), types_.variable("crypto_alg_list").at.front(), most_algorithms,
              [&](VirtAddr node) {
                algorithms_.insert(node.value - link->offset());
                return true;
              });
    // All kinds of ciphers and hashes begin with a head of their own and have a crypto_tfm in it.
    for (const char* name : {"crypto_skcipher", "crypto_lskcipher", "crypto_aead", "crypto_cipher",
                             "crypto_shash", "crypto_ahash"}) {
      const std::optional<TypeRef> type = types_.find_type(name);
      const auto member = type ? type->btf->member(type->id, "base.__crt_alg") : std::nullopt;
      if (member) heads_.push_back({member->offset(), type->btf->type(type->id)->size});
    }
  }

  // How long the head of the cipher at `at` is, behind which its context lies; nullopt when there is none.
  std::optional<uint64_t> head_of(uint64_t at) {
    for (const Head& head : heads_) {
      if (algorithms_.contains(types_.memory().u64({at + head.algorithm}).value_or(0))) return head.size;
    }
    return std::nullopt;
  }

  // A cipher is its head with the algorithm's context behind it, in one piece of memory. Templates such as
  // xts() keep further ciphers in theirs, which are followed.
  void erase_cipher(uint64_t at, int depth) {
    if (at == 0 || depth > deepest_cipher || !erased_.insert(at).second) return;
    list_algorithms();
    const std::optional<uint64_t> head = head_of(at);
    if (!head) {
      if (depth == 0)
        throw Error(Errc::missing, fmt::format("there is no cipher that is known at {:#x}", at));
      return;
    }
    if (!slabs_) slabs_.emplace(types_);
    const std::optional<SlabPages::Object> object = slabs_->object_of({at});
    if (!object) throw Error(Errc::missing, fmt::format("the cipher at {:#x} is of unknown size", at));
    const uint64_t end = object->at.value + object->size, context = at + *head;
    if (context >= end) return;
    for (uint64_t word = context; word + 8 <= end; word += 8) {
      if (const std::optional<uint64_t> inner = types_.memory().u64({word})) erase_cipher(*inner, depth + 1);
    }
    ++eraser_.result().places;
    eraser_.erase(VirtAddr{context}, end - context);
  }

  struct Head {
    uint64_t algorithm = 0, size = 0;  // bytes: of __crt_alg in it; of all of it
  };

  Eraser& eraser_;
  TypedMemory& types_;
  TypeRef config_;
  std::optional<SlabPages> slabs_;
  bool listed_ = false;
  std::unordered_set<uint64_t> algorithms_, erased_;
  std::vector<Head> heads_;
};

}  // namespace

void scrub_dm_crypt(Eraser& eraser) {
  DmCrypt(eraser).run();
}

}  // namespace kdk
