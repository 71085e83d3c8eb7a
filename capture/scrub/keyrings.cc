// Payloads of the keys in the kernel's keyrings: all keys are in one tree (security/keys/key.c,
// key_serial_tree), sorted by number, whichever keyring they are linked to. What a payload is depends on the
// key's type; of one that is not known here, the memory that the payload's pointers lead to is erased as a
// whole. Descriptions of keys stay: they say whose they are.
#include <fmt/format.h>

#include "capture/scrub/eraser.h"
#include "core/kernel/slab_pages.h"
#include "core/base/error.h"
#include "core/base/log.h"

namespace kdk {
namespace {

constexpr size_t most_keys = size_t{1} << 20;

class Keyrings {
 public:
  explicit Keyrings(Eraser& eraser)
      : eraser_(eraser), types_(eraser.types()), key_(types_.require_type("key")) {}

  void run() {
    const auto node = key_.btf->member(key_.id, "serial_node");
    if (!node) throw Error(Errc::missing, "key has no member serial_node");
    bool go_on = true;
    for (const VirtAddr root : types_.variable("key_serial_tree").at) {
      walk_tree(types_, root, most_keys, [&](VirtAddr at) {
        if (go_on) go_on = eraser_.item([&] { erase_key({at - node->offset(), key_}); });
      });
    }
  }

 private:
  void erase_key(const TypedPlace& key) {
    const std::optional<uint64_t> name_at = types_.number(key, "type.name");
    if (!name_at) return;  // not yet set up
    const std::optional<std::string> name = types_.memory().string({*name_at}, 64);
    if (!name)
      throw Error(Errc::fault, fmt::format("the type of the key at {:#x} cannot be read", key.at.value));
    if (*name == "keyring") return;  // an array of keys, which have their own turn
    const std::vector<TypedPlace> payload = types_.follow(key, "payload.data");
    if (payload.size() != 1) return;
    std::vector<uint64_t> data;
    for (unsigned i = 0; i < 4; ++i) {
      const std::optional<uint64_t> pointer = types_.memory().u64(payload.front().at + uint64_t{i} * 8);
      if (!pointer) throw Error(Errc::fault, fmt::format("the key at {:#x} cannot be read", key.at.value));
      data.push_back(*pointer);
    }
    // Linux commit 146aa8b1453b ("KEYS: Merge the type-specific data with the payload data") (in v4.4).
    if (*name == "user" || *name == "logon") {
      erase_counted(data[0], "user_key_payload", "data", "datalen");
    } else if (*name == "encrypted") {
      erase_counted(data[0], "encrypted_key_payload", "decrypted_data", "decrypted_datalen");
    } else if (*name == "trusted") {
      erase_counted(data[0], "trusted_key_payload", "key", "key_len");
    } else if (*name == "asymmetric") {
      erase_private(data[0]);
    } else {
      for (const uint64_t pointer : data) erase_object(pointer, *name);
    }
  }

  // `length` bytes of `member`, both in a struct of that type.
  void erase_counted(uint64_t at, const char* type, const char* member, const char* length) {
    if (at == 0) return;  // negative or revoked
    ScrubRule rule;
    rule.member = member;
    rule.length_member = length;
    eraser_.erase_member(rule, {{at}, types_.require_type(type)});
  }

  // data[asym_crypto] (0; include/keys/asymmetric-type.h): struct public_key, which holds private ones as
  // well and says so. A kernel without that member has no private keys.
  void erase_private(uint64_t at) {
    if (at == 0) return;
    const std::optional<TypeRef> type = types_.find_type("public_key");
    if (!type) {
      erase_object(at, "asymmetric");
      return;
    }
    if (!type->btf->member(type->id, "key_is_private")) return;
    if (types_.number({{at}, *type}, "key_is_private").value_or(0) == 0) return;
    erase_counted(at, "public_key", "key", "keylen");
  }

  void erase_object(uint64_t pointer, const std::string& type) {
    if (pointer == 0) return;
    const Translation found = types_.memory().translate({pointer});
    if (!found) return;  // a number in the place of a pointer (big_key keeps a length there)
    if (!slabs_) slabs_.emplace(types_);
    const std::optional<SlabPages::Object> object = slabs_->object_of({pointer});
    if (!object)
      throw Error(Errc::missing,
                  fmt::format("a payload of a key of type {} is of unknown size", escape_untrusted(type)));
    ++eraser_.result().places;
    eraser_.erase(object->at, object->size);
  }

  Eraser& eraser_;
  TypedMemory& types_;
  const TypeRef key_;
  std::optional<SlabPages> slabs_;
};

}  // namespace

void scrub_keyrings(Eraser& eraser) {
  Keyrings(eraser).run();
}

}  // namespace kdk
