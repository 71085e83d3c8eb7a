#include "analyze/shell/aliases.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "core/base/error.h"

namespace kdk {
namespace {

using Words = std::vector<std::string>;
using Options = std::map<std::string, Words>;

bool is_number(const std::string& word) {
  return !word.empty() && word.find_first_not_of("0123456789") == std::string::npos;
}

// What options of crash are in ours; an empty replacement: ours does so always. None of them is an option of
// ours.
const std::map<std::string, Options>& options_of() {
  static const std::map<std::string, Options> all = {
      {"bt", {{"-l", {}}, {"-s", {}}}},
      {"log", {{"-T", {"--wall"}}}},
      {"ps",
       {{"-k", {"--kernel"}},
        {"-u", {"--user"}},
        {"-G", {"--leaders"}},
        {"-l", {"--sort", "last"}},
        {"-m", {"--sort", "last"}},
        {"-p", {"--tree"}}}},
      {"struct", {{"-x", {}}}},
      {"read",
       {{"-8", {"-u", "1"}},
        {"-16", {"-u", "2"}},
        {"-32", {"-u", "4"}},
        {"-64", {"-u", "8"}},
        {"-x", {}},
        {"-S", {"-s"}}}},
      {"search", {{"-c", {"--string"}}, {"-w", {"-u", "4"}}, {"-k", {}}}},
      {"vtop", {{"-c", {"--task"}}, {"-k", {}}}},
      {"dis", {{"-s", {"-l"}}}},
      {"mod", {{"-s", {}}, {"-S", {}}}},
      {"dev", {{"-d", {}}}},
      {"timer", {{"-r", {}}}},
      {"irq", {{"-s", {}}}},
  };
  return all;
}

// States as crash's foreach has them, as the letters of ps.
const std::map<std::string, std::string>& states() {
  static const std::map<std::string, std::string> all = {{"RU", "R"}, {"IN", "S"}, {"UN", "D"}, {"ST", "T"},
                                                         {"TR", "t"}, {"ZO", "Z"}, {"DE", "X"}, {"ID", "I"}};
  return all;
}

// Commands that take the options by which foreach chooses tasks.
const std::set<std::string> for_tasks = {"bt", "ps"};

[[noreturn]] void no_counterpart(const std::string& what, const std::string& hint) {
  Error error(Errc::unsupported, fmt::format("{}: there is no counterpart here", what));
  error.with_hint(hint);
  throw error;
}

Words tail(const Words& words, size_t from) {
  return {words.begin() + static_cast<std::ptrdiff_t>(std::min(from, words.size())), words.end()};
}

Words joined(Words first, const Words& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

Words kmem(const Words& words) {
  if (words.size() < 2) no_counterpart("kmem", "mem, mem --slabs, mem --vmalloc or mem ADDRESS");
  static const Options modes = {{"-i", {}},          {"-z", {}}, {"-V", {}},
                                {"-s", {"--slabs"}}, {"-S", {}}, {"-v", {"--vmalloc"}}};
  const auto mode = modes.find(words[1]);
  if (mode != modes.end()) {
    // "kmem -s ADDRESS" asks whose it is.
    return words.size() > 2 ? joined({"mem"}, tail(words, 2)) : joined({"mem"}, mode->second);
  }
  if (words[1].starts_with('-')) no_counterpart("kmem " + words[1], "mem --help");
  return joined({"mem"}, tail(words, 1));
}

// list -H HEAD TYPE.MEMBER: HEAD is the list_head; list -h ADDRESS TYPE.MEMBER: of the struct that it is in.
Words list(const Words& words) {
  const char* hint = "print list(HEAD, TYPE, MEMBER)";
  std::string head, type;
  bool of_struct = false;
  for (size_t i = 1; i < words.size(); ++i) {
    if ((words[i] == "-H" || words[i] == "-h") && i + 1 < words.size()) {
      of_struct = words[i] == "-h";
      head = words[++i];
    } else if (words[i].find('.') != std::string::npos && type.empty()) {
      type = words[i];
    } else {
      no_counterpart("list " + words[i], hint);
    }
  }
  const size_t dot = type.find('.');
  if (head.empty() || dot == std::string::npos) no_counterpart("list", hint);
  const std::string name = type.substr(0, dot), member = type.substr(dot + 1);
  if (of_struct) head = fmt::format("((struct {} *){})->{}", name, head, member);
  return {"print", fmt::format("list({}, struct {}, {})", head, name, member)};
}

// foreach [STATE|NAME|PID|user|kernel|gleader]... COMMAND [ARGUMENTS]
Words foreach (const Words& words, const std::set<std::string>& commands) {
  Words choice;
  size_t i = 1;
  for (; i < words.size() && !for_tasks.contains(words[i]); ++i) {
    const std::string& word = words[i];
    if (commands.contains(word)) no_counterpart("foreach ... " + word, "foreach takes bt and ps");
    const auto state = states().find(word);
    if (state != states().end())
      choice = joined(choice, {"--state", state->second});
    else if (word == "user" || word == "kernel")
      choice.push_back("--" + word);
    else if (word == "gleader")
      choice.push_back("--leaders");
    else if (is_number(word))
      choice = joined(choice, {"--pid", word});
    else
      choice = joined(choice, {"--name", word});
  }
  if (i == words.size()) no_counterpart("foreach", "foreach UN bt");
  Words out = translate_alias(tail(words, i), commands);
  if (words[i] == "bt") out.push_back("--all-tasks");
  return joined(out, choice);
}

// "dis ADDRESS COUNT"
Words dis(Words words) {
  if (words.size() > 2 && is_number(words.back()) && !words[words.size() - 2].starts_with('-')) {
    const std::string count = words.back();
    words.back() = "-n";
    words.push_back(count);
  }
  return words;
}

// "ps 1", "ps bash": which tasks.
Words ps(const Words& words) {
  Words out;
  for (size_t i = 0; i < words.size(); ++i) {
    const bool value =
        i > 0 && (words[i - 1] == "--sort" || words[i - 1] == "--state" || words[i - 1] == "--pid" ||
                  words[i - 1] == "--name" || words[i - 1] == "-o" || words[i - 1] == "--output");
    if (i > 0 && !value && !words[i].starts_with('-'))
      out.push_back(is_number(words[i]) ? "--pid" : "--name");
    out.push_back(words[i]);
  }
  return out;
}

std::optional<std::string> other_name(const std::string& name) {
  static const std::map<std::string, std::string> names = {
      {"dmesg", "log"},  {"rd", "read"},  {"p", "print"},        {"px", "print"},
      {"pd", "print"},   {"*", "struct"}, {"union", "struct"},   {"whatis", "struct"},
      {"waitq", "wait"}, {"x", "read"},   {"disassemble", "dis"}};
  const auto found = names.find(name);
  return found == names.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace

const std::vector<Alias>& crash_aliases() {
  static const std::vector<Alias> all = {
      {"* TYPE", "struct TYPE"},
      {"bt -l", "bt"},
      {"dis ADDRESS COUNT", "dis ADDRESS -n COUNT"},
      {"dmesg", "log"},
      {"foreach UN bt", "bt --all-tasks --state D; names, pids, user, kernel, gleader choose, too"},
      {"kmem -i", "mem"},
      {"kmem -s", "mem --slabs"},
      {"kmem -v", "mem --vmalloc"},
      {"kmem ADDRESS", "mem ADDRESS"},
      {"list -H HEAD TYPE.MEMBER", "print list(HEAD, struct TYPE, MEMBER)"},
      {"log -T", "log --wall"},
      {"p EXPRESSION", "print EXPRESSION"},
      {"ps -k, -u, -G", "ps --kernel, --user, --leaders"},
      {"ps 1", "ps --pid 1"},
      {"rd -32 ADDRESS COUNT", "read -u 4 ADDRESS COUNT"},
      {"search -c TEXT", "search --string TEXT"},
      {"vtop -c PID ADDRESS", "vtop --task PID ADDRESS"},
      {"waitq ADDRESS", "wait ADDRESS"},
      {"whatis TYPE", "struct TYPE"},
  };
  return all;
}

std::vector<std::string> translate_alias(std::vector<std::string> words,
                                         const std::set<std::string>& commands) {
  if (words.empty()) return words;
  if (words[0] == "kmem") return kmem(words);
  if (words[0] == "list" || words[0] == "tree" || words[0] == "rbtree") {
    if (words[0] != "list") no_counterpart(words[0], "print rbtree(ROOT, TYPE, MEMBER)");
    return list(words);
  }
  if (words[0] == "foreach") return foreach (words, commands);
  if (words[0] == "set")
    no_counterpart("set", "bt PID, vtop --task PID: nothing is remembered between commands");
  if (!commands.contains(words[0])) {
    const std::optional<std::string> name = other_name(words[0]);
    if (!name || !commands.contains(*name)) return words;
    words[0] = *name;
  }
  if (const auto options = options_of().find(words[0]); options != options_of().end()) {
    Words out{words[0]};
    for (size_t i = 1; i < words.size(); ++i) {
      const auto option = options->second.find(words[i]);
      out = joined(out, option == options->second.end() ? Words{words[i]} : option->second);
    }
    words = out;
  }
  // Offsets, which ours always shows. With a file behind it -o is ours.
  if (words[0] == "struct" && words.back() == "-o") words.pop_back();
  if (words[0] == "dis") return dis(std::move(words));
  return words[0] == "ps" ? ps(words) : words;
}

}  // namespace kdk
