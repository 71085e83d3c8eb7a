#include "capture/filter/filter.h"

#include <gtest/gtest.h>

#include <vector>

namespace kdk {
namespace {

// Offsets of a v6.12 struct page (64 bytes); only the values of the markers differ between the eras below.
PageMarkers layout() {
  PageMarkers m;
  m.struct_size = 64;
  m.flags = 0;
  m.compound_head = 8;
  m.mapping = 24;
  m.private_ = 40;
  m.mapcount = 48;
  m.refcount = 52;
  m.lru = 5;
  m.private_bit = 14;
  m.swapcache = 10;
  m.swapbacked = 17;
  m.hwpoison = 20;
  m.head_mask = 1u << 6;
  m.max_order = 11;
  return m;
}

// One type per page in the top byte (v6.12 and later).
PageMarkers typed_markers() {
  PageMarkers m = layout();
  m.type_mask = 0xff000000;
  m.buddy = 0xf0000000;
  m.offline = 0xf1000000;
  m.hugetlb = 0xf4000000;
  m.slab = 0xf5000000;
  m.unaccepted = 0xf7000000;
  return m;
}

// Inverted type bits, slab as a flag, huge pages by destructor and order as a byte (v4.18 to v6.5).
PageMarkers older_markers() {
  PageMarkers m = layout();
  m.buddy = 0xffffff7f;
  m.offline = 0xfffffeff;
  m.slab_bit = 9;
  m.order_encoding = PageMarkers::OrderEncoding::u8_in_second_page;
  m.order_offset = 17;
  m.dtor_offset = 16;
  m.hugetlb_dtor = 2;
  return m;
}

struct Page {
  std::vector<uint8_t> bytes = std::vector<uint8_t>(64);

  Page() { mapcount(0xffffffff); }  // -1: not mapped, no type
  Page& flags(uint64_t v) { return put<ul64>(0, v); }
  Page& head_word(uint64_t v) { return put<ul64>(8, v); }
  Page& mapping(uint64_t v) { return put<ul64>(24, v); }
  Page& priv(uint64_t v) { return put<ul64>(40, v); }
  Page& mapcount(uint32_t v) { return put<ul32>(48, v); }
  template <typename T, typename V>
  Page& put(size_t offset, V v) {
    store(bytes, offset, T(v));
    return *this;
  }
};

constexpr uint64_t lru = 1 << 5, head = 1 << 6, slab = 1 << 9, swapcache = 1 << 10, priv = 1 << 14,
                   swapbacked = 1 << 17, poison = 1 << 20;
constexpr uint64_t anon_mapping = 0xffff000012345001, file_mapping = 0xffff000012345000;

PageFacts classify(const PageMarkers& markers, const Page& page, const Page& second = {}) {
  return PageClassifier(markers).classify(page.bytes.data(), second.bytes.data());
}

TEST(Exclude, LevelsAreTruthTables) {
  const unsigned z = level_zero, c = level_cache, p = level_cache_private, u = level_user, f = level_free;
  const struct {
    PageClass page_class;
    unsigned any_of;  // left out when the level has one of these
  } table[] = {
      {PageClass::kernel, 0},     {PageClass::unknown, 0},   {PageClass::free, f},
      {PageClass::unaccepted, f}, {PageClass::cache, c | p}, {PageClass::cache_private, p},
      {PageClass::anonymous, u},  {PageClass::hugetlb, u},
  };
  for (unsigned level = 0; level <= (z | c | p | u | f); ++level) {
    for (const auto& row : table) {
      EXPECT_EQ(excluded(row.page_class, level), (level & row.any_of) != 0)
          << to_string(row.page_class) << " at " << level;
    }
    EXPECT_TRUE(excluded(PageClass::poisoned, level));
    EXPECT_TRUE(excluded(PageClass::offline, level));
  }
}

TEST(Exclude, NamesMakeLevels) {
  EXPECT_EQ(parse_exclude("zero,cache,private,user,free"), 31u);
  EXPECT_EQ(parse_exclude("all"), 31u);
  EXPECT_EQ(parse_exclude("none"), 0u);
  EXPECT_EQ(parse_exclude("private"), 6u);  // 4 implies 2
  EXPECT_EQ(parse_exclude("free,zero"), 17u);
  EXPECT_EQ(parse_exclude("fre"), std::nullopt);
  EXPECT_EQ(parse_exclude("zero,,free"), std::nullopt);
}

TEST(Classify, TypedPages) {
  const PageMarkers m = typed_markers();
  EXPECT_EQ(classify(m, Page()).page_class, PageClass::kernel);
  const PageFacts free_block = classify(m, Page().mapcount(0xf0000000).priv(3));
  EXPECT_EQ(free_block.page_class, PageClass::free);
  EXPECT_EQ(free_block.order, 3u);
  // The low 24 bits of a type word may carry data.
  EXPECT_EQ(classify(m, Page().mapcount(0xf0000007).priv(0)).page_class, PageClass::free);
  EXPECT_EQ(classify(m, Page().mapcount(0xf1000000)).page_class, PageClass::offline);
  const PageFacts unaccepted = classify(m, Page().mapcount(0xf7000000));
  EXPECT_EQ(unaccepted.page_class, PageClass::unaccepted);
  EXPECT_EQ(unaccepted.order, 10u);
  EXPECT_EQ(classify(m, Page().mapcount(0xf2000000)).page_class, PageClass::kernel);  // a page table
}

TEST(Classify, AnImpossibleFreeOrderKeepsThePage) {
  for (uint64_t order : {uint64_t{11}, uint64_t{63}, uint64_t{64}, ~uint64_t{0}}) {
    const PageFacts facts = classify(typed_markers(), Page().mapcount(0xf0000000).priv(order));
    EXPECT_EQ(facts.page_class, PageClass::kernel) << order;
    EXPECT_TRUE(facts.bad_order) << order;
  }
}

TEST(Classify, CacheAndUser) {
  for (const PageMarkers& m : {typed_markers(), older_markers()}) {
    EXPECT_EQ(classify(m, Page().flags(lru).mapping(file_mapping)).page_class, PageClass::cache);
    EXPECT_EQ(classify(m, Page().flags(lru | priv).mapping(file_mapping)).page_class,
              PageClass::cache_private);
    EXPECT_EQ(classify(m, Page().flags(lru).mapping(anon_mapping)).page_class, PageClass::anonymous);
    EXPECT_EQ(classify(m, Page().mapping(anon_mapping)).page_class,
              PageClass::anonymous);  // isolated from the LRU
    EXPECT_EQ(classify(m, Page().flags(swapcache | swapbacked).mapping(file_mapping)).page_class,
              PageClass::cache);
    EXPECT_EQ(classify(m, Page().flags(swapcache).mapping(file_mapping)).page_class,
              PageClass::kernel);  // owner_priv_1
    EXPECT_EQ(classify(m, Page().mapping(file_mapping)).page_class, PageClass::kernel);
  }
}

TEST(Classify, SlabIsNeverUserNorFree) {
  // Slab keeps a list where other pages have `mapping`: bit 0 means nothing there.
  EXPECT_EQ(classify(typed_markers(), Page().mapcount(0xf5000000).mapping(anon_mapping)).page_class,
            PageClass::kernel);
  EXPECT_EQ(classify(older_markers(), Page().flags(slab).mapping(anon_mapping)).page_class,
            PageClass::kernel);
  EXPECT_EQ(classify(older_markers(), Page().flags(slab).mapcount(0xffffff7f)).page_class, PageClass::kernel);
}

TEST(Classify, HugePagesOfEveryEra) {
  const PageFacts typed = classify(typed_markers(), Page().flags(head).mapcount(0xf4000000), Page().flags(9));
  EXPECT_EQ(typed.page_class, PageClass::hugetlb);
  EXPECT_EQ(typed.order, 9u);
  EXPECT_TRUE(typed.compound);

  PageMarkers flag = layout();
  flag.hugetlb_bit = 8;
  EXPECT_EQ(classify(flag, Page().flags(head), Page().flags(9 | 1 << 8)).page_class, PageClass::hugetlb);
  EXPECT_EQ(classify(flag, Page().flags(head), Page().flags(9)).page_class, PageClass::kernel);

  Page second;
  second.bytes[16] = 2;
  second.bytes[17] = 9;
  const PageFacts by_destructor = classify(older_markers(), Page().flags(head), second);
  EXPECT_EQ(by_destructor.page_class, PageClass::hugetlb);
  EXPECT_EQ(by_destructor.order, 9u);
  second.bytes[16] = 1;  // an ordinary compound page
  EXPECT_EQ(classify(older_markers(), Page().flags(head), second).page_class, PageClass::kernel);
  // Without the second struct page nothing is guessed.
  EXPECT_EQ(PageClassifier(older_markers()).classify(Page().flags(head).bytes.data(), nullptr).order, 0u);
}

TEST(Classify, TailsAndPoison) {
  const PageClassifier classifier(typed_markers());
  EXPECT_TRUE(classifier.is_tail(Page().head_word(0xfffffe2c00000041).bytes.data()));
  EXPECT_FALSE(classifier.is_tail(Page().head_word(0xfffffe2c00000040).bytes.data()));
  EXPECT_TRUE(classifier.is_poisoned(Page().flags(poison | lru).bytes.data()));
  EXPECT_FALSE(classifier.is_poisoned(Page().flags(lru).bytes.data()));
  PageMarkers without = typed_markers();
  without.hwpoison.reset();
  EXPECT_FALSE(PageClassifier(without).is_poisoned(Page().flags(poison).bytes.data()));
}

TEST(Classify, AKernelWithoutMarkersKeepsEverything) {
  PageMarkers none = layout();
  none.lru.reset();
  none.swapcache.reset();
  none.private_bit.reset();
  const Page busy = Page().flags(lru | swapcache | swapbacked).mapcount(0xf0000000).mapping(file_mapping);
  EXPECT_EQ(classify(none, busy).page_class, PageClass::kernel);
}

TEST(Classify, OffsetsOutsideStructPageAreRefused) {
  for (uint64_t PageMarkers::*field :
       {&PageMarkers::flags, &PageMarkers::mapping, &PageMarkers::mapcount, &PageMarkers::private_,
        &PageMarkers::compound_head, &PageMarkers::order_offset}) {
    PageMarkers m = typed_markers();
    m.*field = 61;
    EXPECT_THROW(PageClassifier{m}, Error);
    m.*field = ~uint64_t{0};
    EXPECT_THROW(PageClassifier{m}, Error);
  }
}

}  // namespace
}  // namespace kdk
