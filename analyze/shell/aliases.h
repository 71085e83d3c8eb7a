// The command names of crash(8), for who knows them: words as crash takes them into words of ours.
#pragma once

#include <set>
#include <string>
#include <vector>

namespace kdk {

struct Alias {
  std::string name;     // as crash has it, with its options where these choose
  std::string meaning;  // in our words
};
// For `help aliases`, in the order of the alphabet.
const std::vector<Alias>& crash_aliases();

// `commands`: the names of ours, which are taken as they are but for options that only crash has. Throws
// Error{unsupported} for a way of crash's that has no counterpart, with a hint to what has. Words that mean
// nothing to it stay as they are.
std::vector<std::string> translate_alias(std::vector<std::string> words,
                                         const std::set<std::string>& commands);

}  // namespace kdk
