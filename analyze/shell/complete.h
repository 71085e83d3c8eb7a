// What the word at the end of a line may become: a command, one of its options, a symbol, a type, a member of
// one.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace kdk {

// Where the words come from. Each gets what is written already, and gives words that begin with it, unsorted,
// at most `most_completions` of them.
struct Vocabulary {
  std::function<std::vector<std::string>()> commands;
  std::function<std::vector<std::string>(std::string_view command)> options;
  std::function<std::vector<std::string>(std::string_view prefix)> symbols, types;
  std::function<std::vector<std::string>(std::string_view type)> members;
};

constexpr size_t most_completions = 500;

struct Completion {
  size_t start = 0;                // of the word, in the line
  std::string common;              // what all of the words begin with, at least as long as the word
  std::vector<std::string> words;  // sorted, each once
};

// `text`: the line up to the cursor.
Completion complete(std::string_view text, const Vocabulary& vocabulary);

}  // namespace kdk
