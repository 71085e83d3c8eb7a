#include "analyze/shell/line.h"

#include <fmt/format.h>

#include "core/base/error.h"

namespace kdk {
namespace {

bool blank(char c) {
  return c == ' ' || c == '\t';
}

// Goes over a line once, and remembers where it is.
class Splitter {
 public:
  explicit Splitter(std::string_view text) : text_(text) {}

  void run() {
    while (at_ < text_.size() && !reader_) step();
  }

  std::vector<std::string> words;
  std::string word;
  size_t start = 0;      // of `word`
  bool in_word = false;  // one has begun, be it empty
  char quote = 0;        // the one that is open
  size_t depth = 0;      // brackets that are open
  bool escape = false;   // the last character was a backslash
  std::string_view reader() const { return text_.substr(at_); }
  bool has_reader() const { return reader_; }
  bool to_file() const { return to_file_; }

 private:
  void step() {
    const char c = text_[at_];
    if (quote != 0) {
      ++at_;
      if (c == quote) {
        quote = 0;
      } else if (c == '\\' && quote == '"' && at_ < text_.size() &&
                 (text_[at_] == '"' || text_[at_] == '\\')) {
        word += text_[at_++];
      } else {
        word += c;
      }
      return;
    }
    if (depth == 0 && blank(c)) {
      end_word();
      ++at_;
      start = at_;
      return;
    }
    if (depth == 0 && (c == '|' || (c == '>' && !in_word))) {
      end_word();
      reader_ = true;
      to_file_ = c == '>';
      at_ += c == '|' ? 1 : 0;  // sh(1) knows > and >> by itself
      return;
    }
    in_word = true;
    ++at_;
    if (c == '\'' || c == '"') {
      quote = c;
    } else if (c == '\\') {
      escape = at_ == text_.size();
      if (!escape) word += text_[at_++];
    } else {
      if (c == '(' || c == '[') ++depth;
      if ((c == ')' || c == ']') && depth > 0) --depth;
      word += c;
    }
  }

  void end_word() {
    if (in_word) words.push_back(std::move(word));
    word.clear();
    in_word = false;
  }

  std::string_view text_;
  size_t at_ = 0;
  bool reader_ = false, to_file_ = false;
};

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && (blank(text.back()) || text.back() == '\n' || text.back() == '\r'))
    text.remove_suffix(1);
  return text;
}

}  // namespace

ShellLine parse_shell_line(std::string_view line) {
  line = trimmed(line);
  if (line.starts_with('#')) return {};
  Splitter split(line);
  split.run();
  if (split.quote != 0) throw Error(Errc::format, fmt::format("a {} is not closed", split.quote));
  if (split.depth != 0) throw Error(Errc::format, "a bracket is not closed");
  if (split.escape) throw Error(Errc::format, "nothing comes after \\");
  if (split.in_word) split.words.push_back(std::move(split.word));
  ShellLine out{std::move(split.words), {}};
  if (!split.has_reader()) return out;
  const std::string_view reader = trimmed(split.reader());
  if (reader.empty() || reader == ">" || reader == ">>" || reader.starts_with('|'))
    throw Error(Errc::format, "a command or a file has to come after | or >");
  if (out.words.empty()) throw Error(Errc::format, "a command has to come before | or >");
  out.reader = split.to_file() ? fmt::format("cat {}", reader) : std::string(reader);
  return out;
}

WordAtEnd word_at_end(std::string_view text) {
  Splitter split(text);
  split.run();
  WordAtEnd out;
  out.before = std::move(split.words);
  out.quoted = split.quote != 0 || split.has_reader();
  out.start = split.start;
  out.word = std::move(split.word);
  // In an expression the name that is being written begins after the last character that names cannot have.
  // The list of members behind a type is one word.
  const auto of_name = [list = split.depth == 0](char c) {
    return c == '_' || c == '.' || c == '-' || (list && c == ',') || (c >= '0' && c <= '9') ||
           (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  };
  size_t keep = text.size();
  while (keep > out.start && of_name(text[keep - 1])) --keep;
  if (!out.quoted && keep > out.start) {
    out.word = std::string(text.substr(keep));
    out.start = keep;
  }
  return out;
}

}  // namespace kdk
