#include "analyze/shell/complete.h"

#include <algorithm>

#include "analyze/shell/line.h"

namespace kdk {
namespace {

using Words = std::vector<std::string>;

bool takes_type(const std::string& command) {
  return command == "struct" || command == "union" || command == "*" || command == "whatis";
}

void add(Words& words, const Words& more, std::string_view prefix, std::string_view before = {}) {
  for (const std::string& word : more) {
    if (word.starts_with(prefix)) words.push_back(std::string(before) + word);
  }
}

// "task_struct.comm,pi" names members of a type.
bool add_members(Words& words, const Vocabulary& vocabulary, const std::string& word) {
  const size_t dot = word.find('.');
  if (dot == std::string::npos) return false;
  const size_t last = word.find_last_of(".,");
  add(words, vocabulary.members(word.substr(0, dot)), word.substr(last + 1), word.substr(0, last + 1));
  return true;
}

}  // namespace

Completion complete(std::string_view text, const Vocabulary& vocabulary) {
  const WordAtEnd at = word_at_end(text);
  Completion out{at.start, at.word, {}};
  if (at.quoted) return out;
  if (at.before.empty()) {
    add(out.words, vocabulary.commands(), at.word);
  } else if (const std::string& command = at.before.front(); command == "help") {
    if (at.before.size() == 1) add(out.words, vocabulary.commands(), at.word);
  } else if (at.word.starts_with('-')) {
    add(out.words, vocabulary.options(command), at.word);
  } else if (takes_type(command) && at.before.size() == 1) {
    if (!add_members(out.words, vocabulary, at.word)) add(out.words, vocabulary.types(at.word), at.word);
  } else if (!at.word.empty()) {
    add(out.words, vocabulary.symbols(at.word), at.word);
    if (command == "print" || command == "p") add(out.words, vocabulary.types(at.word), at.word);
  }
  std::ranges::sort(out.words);
  out.words.erase(std::unique(out.words.begin(), out.words.end()), out.words.end());
  if (out.words.empty()) return out;
  out.common = out.words.front();
  for (const std::string& word : out.words) {
    const auto [end, other] = std::ranges::mismatch(out.common, word);
    out.common.erase(end, out.common.end());
  }
  return out;
}

}  // namespace kdk
