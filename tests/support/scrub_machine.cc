#include "tests/support/scrub_machine.h"

#include <algorithm>

namespace kdk::test {
namespace {

constexpr uint64_t object_size = 128;  // of the slab cache

}  // namespace

ScrubMachine::ScrubMachine() : pages(machine) {
  build_variables();
  build_cache();
  build_keys();
  build_dm_crypt();
  build_types();
  symbols_.push_back({machine.stext().value, 'T', "_stext"});
  symbols_.push_back({machine.etext().value, 'T', "_etext"});
  std::ranges::sort(symbols_, {}, &KallsymsSymbol::address);
  put_kallsyms(machine, symbols_);
}

VirtAddr ScrubMachine::variable(const std::string& symbol, uint64_t bytes) {
  const VirtAddr place = machine.image_alloc(bytes);
  symbols_.push_back({place.value, 'd', symbol});
  at[symbol] = place;
  return place;
}

void ScrubMachine::plant(VirtAddr place, uint64_t bytes) {
  std::vector<uint8_t> letters(bytes);
  for (uint64_t i = 0; i < bytes; ++i) letters[i] = static_cast<uint8_t>('a' + (place.value / 16 + i) % 23);
  machine.put(place, letters);
}

std::vector<uint8_t> ScrubMachine::read(const Dump& dump, VirtAddr place, uint64_t bytes) const {
  const std::unique_ptr<PageReader> reader = dump.reader();
  std::vector<uint8_t> out;
  for (uint64_t i = 0; i < bytes; ++i) {
    const PhysAddr pa = machine.phys(place + i);
    const PageView page = reader->page(machine.pfn_of(pa));
    if (page.state != PageState::present) return {};
    out.push_back(page.bytes[pa.value % machine.page_size()]);
  }
  return out;
}

bool ScrubMachine::filled(const Dump& dump, VirtAddr place, uint64_t bytes, uint8_t c) const {
  return read(dump, place, bytes) == std::vector<uint8_t>(bytes, c);
}

bool ScrubMachine::untouched(const Dump& dump, VirtAddr place, uint64_t bytes) const {
  std::vector<uint8_t> own;
  for (uint64_t i = 0; i < bytes; ++i) {
    const PhysAddr pa = machine.phys(place + i);
    own.push_back(machine.page(machine.pfn_of(pa))[pa.value % machine.page_size()]);
  }
  return read(dump, place, bytes) == own;
}

void ScrubMachine::overwrite(Bytes bytes) {
  for (const auto& [place, length] : walked_) {
    const Bytes part = bytes.first(std::min<uint64_t>(bytes.size(), length));
    machine.put(place, part);
    bytes = bytes.subspan(part.size());
  }
}

// Three elements of a list, one of which is a variable; strings and blobs elsewhere.
void ScrubMachine::build_variables() {
  plant(variable("plain", 48), 48);
  variable("after_plain", 16);
  const VirtAddr one = variable("one", size);
  const VirtAddr head = variable("secrets", 16);
  std::vector<VirtAddr> elements{one};
  for (const char* symbol : {"two", "three"}) {
    at[symbol] = machine.alloc(size);
    elements.push_back(at[symbol]);
  }
  std::vector<VirtAddr> links;
  for (size_t i = 0; i < elements.size(); ++i) {
    const VirtAddr element = elements[i];
    plant(element + name, 16);
    machine.put_u32(element + id, static_cast<uint32_t>(i + 1));
    machine.put_u16(element + len, static_cast<uint16_t>(24 + i));
    const VirtAddr string = machine.alloc(64), blob_at = machine.alloc(64);
    machine.put_text(string, "a secret sentence");
    plant(blob_at, 64);
    machine.put_u64(element + text, string.value);
    machine.put_u64(element + blob, blob_at.value);
    machine.put_u64(element + opaque, blob_at.value);
    machine.put_u64(element + next, i + 1 < elements.size() ? elements[i + 1].value : 0);
    at["text" + std::to_string(i)] = string;
    at["blob" + std::to_string(i)] = blob_at;
    links.push_back(element + link);
  }
  machine.put_list(head, links);
  for (const VirtAddr element : elements) walked_.emplace_back(element, size);
  const VirtAddr pointer = variable("pointer_to_two", 8);
  machine.put_u64(pointer, at["two"].value);
  const VirtAddr table = variable("table", 3 * size);  // struct secret table[3]
  for (uint64_t i = 0; i < 3; ++i) plant(table + i * size + name, 16);

  // A per-CPU variable of 32 bytes on two CPUs.
  const VirtAddr start = variable("__per_cpu_start", 16);
  variable("percpu_secret", 32);
  variable("__per_cpu_end", 16);
  const VirtAddr offsets = variable("__per_cpu_offset", 16), mask = variable("__cpu_possible_mask", 8);
  variable("nr_cpu_ids", 8);
  machine.put_u32(at["nr_cpu_ids"], 2);
  machine.put_u64(mask, 3);
  for (uint64_t cpu = 0; cpu < 2; ++cpu) {
    const VirtAddr area = machine.alloc(4096, 4096);
    machine.put_u64(offsets + cpu * 8, area.value - start.value);
    const VirtAddr own{at["percpu_secret"].value + area.value - start.value};
    plant(own, 32);
    at["percpu" + std::to_string(cpu)] = own;
  }
}

// A cache "secret_jar" with a slab of two pages, 8 KiB / 128 = 64 objects; object 3 is in use, all hold text.
void ScrubMachine::build_cache() {
  const VirtAddr cache = machine.alloc(64), cache_name = machine.alloc(16);
  machine.put_text(cache_name, "secret_jar");
  machine.put_u32(cache, object_size);           // size
  machine.put_u64(cache + 8, cache_name.value);  // name
  machine.put_u32(cache + 32, object_size - 8);
  machine.put_u64(cache + 40, free_list_key);
  at["secret_jar"] = cache;
  machine.put_list(variable("slab_caches", 16), {cache + 16});
  machine.put_u64(variable("secret_jar_pointer", 8), cache.value);
  const PhysAddr slab = {align_up(machine.alloc_pages(4).value, 2 * 4096)};
  const Pfn pfn = machine.pfn_of(slab);
  pages.set(pfn, 1, PageClass::slab);
  machine.put_u64(pages.struct_page(pfn) + 8, cache.value);
  machine.put_u32(pages.struct_page(pfn) + 40, 64u << 16 | 62);  // inuse, objects
  at["slab_page"] = pages.struct_page(pfn);
  at["slab"] = machine.linear(slab);
  walked_.emplace_back(cache, 64);
  walked_.emplace_back(pages.struct_page(pfn), 128);
  plant(at["slab"], 2 * 4096);
}

// A tree of four keys: user, keyring, a private and a public asymmetric one.
void ScrubMachine::build_keys() {
  std::vector<VirtAddr> keys;
  const auto type = [&](const char* type_name) {
    const VirtAddr key_type = machine.alloc(16), text_at = machine.alloc(32);
    machine.put_text(text_at, type_name);
    machine.put_u64(key_type, text_at.value);
    return key_type;
  };
  for (const char* type_name : {"user", "keyring", "asymmetric", "asymmetric", "odd"}) {
    const VirtAddr key = machine.alloc(128);  // serial_node, type, payload
    machine.put_u64(key + 24, type(type_name).value);
    keys.push_back(key);
  }
  for (const VirtAddr key : keys) walked_.emplace_back(key, 64);
  // The first is the root, two on its right, one below each.
  machine.put_u64(variable("key_serial_tree", 8), keys[0].value);
  machine.put_u64(keys[0] + 8, keys[1].value);
  machine.put_u64(keys[0] + 16, keys[2].value);
  machine.put_u64(keys[1] + 8, keys[3].value);
  machine.put_u64(keys[2] + 16, keys[4].value);
  const VirtAddr payload = machine.alloc(96);
  machine.put_u16(payload + 16, 40);
  plant(payload + 24, 48);
  machine.put_u64(keys[0] + 32, payload.value);
  at["user_key"] = payload + 24;
  machine.put_u64(keys[1] + 32, at["three"].value);  // of a keyring: no payload
  for (size_t i : {2, 3}) {
    const VirtAddr material = machine.alloc(64), key = machine.alloc(32);
    plant(material, 64);
    machine.put_u64(key, material.value);
    machine.put_u32(key + 8, 50);
    machine.put_u8(key + 12, i == 2 ? 1 : 0);
    machine.put_u64(keys[i] + 32, key.value);
    at[i == 2 ? "private_key" : "public_key"] = material;
  }
  // Of a type nobody knows: the whole slab object, here number 5.
  machine.put_u64(keys[4] + 32 + 8, at["slab"].value + 5 * object_size + 16);
}

// One device with one crypt target: a 32-byte key, and a cipher that keeps another one in its context.
// Ciphers are objects 10 and 12 of the slab.
void ScrubMachine::build_dm_crypt() {
  const VirtAddr cell = machine.alloc(64), device = machine.alloc(16), table = machine.alloc(16);
  const VirtAddr target = machine.alloc(32), type = machine.alloc(16), type_name = machine.alloc(16);
  const VirtAddr config = machine.alloc(96), tfms = machine.alloc(16);
  machine.put_u64(variable("name_rb_tree", 8), cell.value);
  machine.put_u64(cell + 24, device.value);  // md
  machine.put_u64(device, table.value);      // map
  machine.put_u32(table, 1);                 // num_targets
  machine.put_u64(table + 8, target.value);
  machine.put_u64(target, type.value);
  machine.put_u64(target + 8, config.value);
  machine.put_u64(type, type_name.value);
  machine.put_text(type_name, "crypt");
  for (const VirtAddr place : {cell, device, table, target, config}) walked_.emplace_back(place, 16);
  machine.put_u64(config, tfms.value);
  machine.put_u32(config + 8, 1);    // tfms_count
  machine.put_u32(config + 12, 32);  // key_size
  plant(config + 16, 48);
  at["disk_key"] = config + 16;

  const VirtAddr algorithm = machine.alloc(32);
  machine.put_list(variable("crypto_alg_list", 16), {algorithm});
  const VirtAddr outer = at["slab"] + 10 * object_size, inner = at["slab"] + 12 * object_size;
  machine.put_u64(tfms, outer.value);
  for (const VirtAddr cipher : {outer, inner}) machine.put_u64(cipher + 8, algorithm.value);
  machine.put_u64(outer + 32, inner.value);
  at["outer"] = outer;
  at["inner"] = inner;
}

void ScrubMachine::build_types() {
  BtfBuilder& b = btf_;
  using M = std::vector<BtfBuilder::Member>;
  const uint32_t c = b.integer("char", 1), u8 = b.integer("unsigned char", 1), u16 = b.integer("u16", 2);
  const uint32_t u32 = b.integer("u32", 4), u64 = b.integer("u64", 8), boolean = b.integer("_Bool", 1);
  const uint32_t any = b.pointer(0), string = b.pointer(c), bytes = b.pointer(u8);
  const auto at_byte = [](uint64_t byte) { return static_cast<uint32_t>(byte * 8); };
  const uint32_t list = b.structure("list_head", 16, {{"next", any, 0}, {"prev", any, 64}});
  const uint32_t node = b.structure(
      "rb_node", 24, {{"__rb_parent_color", u64, 0}, {"rb_right", any, 64}, {"rb_left", any, 128}});
  b.structure("rb_root", 8, {{"rb_node", b.pointer(node), 0}});
  // The struct that `next` points to is declared before it is there: as C does, by its name.
  const uint32_t declared = b.pointer(b.type_count() + 1);
  const uint32_t secret = b.structure("secret", size,
                                      M{{"id", u32, at_byte(id)},
                                        {"len", u16, at_byte(len)},
                                        {"name", b.type_count() + 1, at_byte(name)},
                                        {"text", string, at_byte(text)},
                                        {"blob", bytes, at_byte(blob)},
                                        {"next", declared, at_byte(next)},
                                        {"link", list, at_byte(link)},
                                        {"opaque", any, at_byte(opaque)},
                                        {"flag", u32, at_byte(flag)}});
  const uint32_t name_array = b.array(c, 16);
  (void)name_array;
  b.variable("table", b.array(secret, 3));
  b.structure("kmem_cache", 64,
              {{"size", u32, 0},
               {"offset", u32, at_byte(4)},
               {"name", string, at_byte(8)},
               {"list", list, at_byte(16)},
               {"object_size", u32, at_byte(32)},
               {"random", u64, at_byte(40)}});
  b.structure("slab", 64,
              {{"slab_cache", any, at_byte(8)},
               {"freelist", any, at_byte(32)},
               {"inuse", u32, at_byte(40), 16},
               {"objects", u32, at_byte(42), 15}});
  const uint32_t key_type = b.structure("key_type", 16, {{"name", string, 0}});
  const uint32_t payload = b.structure("key_payload", 32, {{"data", b.type_count() + 1, 0}});
  b.array(any, 4);
  b.structure("key", 128,
              {{"serial_node", node, 0},
               {"type", b.type_count() + 1, at_byte(24)},
               {"payload", payload, at_byte(32)}});
  b.pointer(key_type);
  b.structure("user_key_payload", 24,
              {{"datalen", u16, at_byte(16)}, {"data", b.type_count() + 1, at_byte(24)}});
  b.array(c, 0);
  b.structure("public_key", 32,
              {{"key", any, 0}, {"keylen", u32, at_byte(8)}, {"key_is_private", boolean, at_byte(12)}});
  const uint32_t device = b.structure("mapped_device", 16, {{"map", any, 0}});
  b.structure(
      "hash_cell", 64,
      {{"name_node", node, 0}, {"md", b.type_count() + 1, at_byte(24)}, {"new_map", any, at_byte(32)}});
  b.pointer(device);
  const uint32_t target_type = b.structure("target_type", 16, {{"name", string, 0}});
  b.structure("dm_target", 32, {{"type", b.type_count() + 1, 0}, {"private", any, at_byte(8)}});
  b.pointer(target_type);
  b.structure("dm_table", 16, {{"num_targets", u32, 0}, {"targets", any, at_byte(8)}});
  const uint32_t ciphers = b.union_of("", 8, {{"tfms", any, 0}, {"tfms_aead", any, 0}});
  b.structure("crypt_config", 16,
              {{"cipher_tfm", ciphers, 0},
               {"tfms_count", u32, at_byte(8)},
               {"key_size", u32, at_byte(12)},
               {"key", b.type_count() + 1, at_byte(16)}});
  b.array(u8, 0);
  b.structure("crypto_alg", 32, {{"cra_list", list, 0}});
  const uint32_t tfm = b.structure("crypto_tfm", 16, {{"__crt_alg", any, 0}});
  b.structure("crypto_skcipher", 24, {{"base", tfm, at_byte(8)}});
  const std::vector<uint8_t> raw = b.bytes();
  const VirtAddr start = machine.image_alloc(raw.size());
  machine.put(start, raw);
  machine.symbol("__start_BTF", start);
  machine.symbol("__stop_BTF", start + raw.size());
}

}  // namespace kdk::test
