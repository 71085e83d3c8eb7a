#include "core/formats/notes.h"

#include <gtest/gtest.h>

namespace kdk {
namespace {

std::vector<uint8_t> two_notes() {
  std::vector<uint8_t> bytes;
  append_note(bytes, "CORE", nt_prstatus, std::vector<uint8_t>{1, 2, 3, 4, 5});
  append_note(bytes, "VMCOREINFO", 0, as_bytes("A=1\n"));
  return bytes;
}

TEST(Notes, ReadsNamesTypesAndDescriptors) {
  std::string problem;
  std::vector<uint8_t> bytes = two_notes();
  // The layout by hand: header 12, "CORE\0" padded to 8, 5 bytes padded to 8.
  EXPECT_EQ(bytes.size(), 28u + 12 + 12 + 4);
  std::vector<Note> notes = parse_notes(bytes, &problem);
  ASSERT_EQ(notes.size(), 2u);
  EXPECT_EQ(notes[0].name, "CORE");
  EXPECT_EQ(notes[0].type, nt_prstatus);
  EXPECT_EQ(notes[0].desc_offset, 20u);
  EXPECT_EQ(notes[0].desc, (std::vector<uint8_t>{1, 2, 3, 4, 5}));
  EXPECT_EQ(notes[1].name, "VMCOREINFO");
  EXPECT_EQ(as_text(notes[1].desc), "A=1\n");
  EXPECT_EQ(notes_end(notes), bytes.size());
  EXPECT_TRUE(problem.empty()) << problem;
}

TEST(Notes, ZerosEndARunSilently) {
  std::string problem;
  std::vector<uint8_t> bytes = two_notes();
  size_t end = bytes.size();
  bytes.resize(end + 100);
  std::vector<Note> notes = parse_notes(bytes, &problem);
  EXPECT_EQ(notes.size(), 2u);
  EXPECT_EQ(notes_end(notes), end);
  EXPECT_TRUE(problem.empty()) << problem;
  EXPECT_TRUE(parse_notes(std::vector<uint8_t>(64), &problem).empty());
  EXPECT_TRUE(problem.empty()) << problem;
}

TEST(Notes, StopsAtTheFirstImpossibleOneAndSaysWhere) {
  std::vector<uint8_t> bytes = two_notes();
  bytes[28 + 4] = 0xff;  // descriptor size of the second
  std::string problem;
  EXPECT_EQ(parse_notes(bytes, &problem).size(), 1u);
  EXPECT_NE(problem.find("0x1c"), std::string::npos) << problem;
}

TEST(Notes, EveryTruncationGivesAPrefix) {
  std::vector<uint8_t> whole = two_notes();
  for (size_t size = 0; size < whole.size(); ++size) {
    std::vector<uint8_t> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    std::vector<Note> notes = parse_notes(cut);
    // The first note is whole when its descriptor is; its padding may be missing.
    EXPECT_EQ(notes.size(), size >= 25 ? 1u : 0u) << size;
  }
}

TEST(Notes, HugeSizesDoNotWrap) {
  std::vector<uint8_t> bytes(64, 0xff);
  std::string problem;
  EXPECT_TRUE(parse_notes(bytes, &problem).empty());
  EXPECT_FALSE(problem.empty());
}

}  // namespace
}  // namespace kdk
