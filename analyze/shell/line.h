// A line of the shell, taken apart: the words of the command, and where its output goes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kdk {

struct ShellLine {
  std::vector<std::string> words;
  // For sh(1): what reads the command's output, from "| less" or "> file". Empty: nothing does.
  std::string reader;
};

// Words are separated by blanks, but not within brackets: an expression needs no quotes. '...', "..." and
// \ quote as in sh(1). The first | outside of both begins the reader, and so does a > that begins a word
// (p->next is none). A line that begins with # has no words. Throws Error{format} for what is not closed.
ShellLine parse_shell_line(std::string_view line);

// The word that is being written at the end of `text`, by the same rules; nothing is an error here.
struct WordAtEnd {
  std::vector<std::string> before;  // the words before it
  std::string word;                 // with what quotes there are taken away
  size_t start = 0;                 // of the word in the text
  bool quoted = false;              // within quotes, or after the pipe: not the shell's to complete
};
WordAtEnd word_at_end(std::string_view text);

}  // namespace kdk
