// Lines of the shell, crash's names for commands, completion.
#include <gtest/gtest.h>

#include "analyze/shell/aliases.h"
#include "analyze/shell/complete.h"
#include "analyze/shell/line.h"
#include "core/base/error.h"

namespace kdk {
namespace {

using Words = std::vector<std::string>;

TEST(ShellLine, TakesWordsApart) {
  struct Case {
    const char* line;
    Words words;
    const char* reader = "";
  };
  const Case cases[] = {
      {"", {}},
      {"  \t ", {}},
      {"# bt", {}},
      {"bt", {"bt"}},
      {"  bt   -a ", {"bt", "-a"}},
      {"log --level 'a b' \"c \\\" d\" e\\ f ''", {"log", "--level", "a b", "c \" d", "e f", ""}},
      // Expressions need no quotes.
      {"print list(init_task.tasks, struct task_struct, tasks).comm",
       {"print", "list(init_task.tasks, struct task_struct, tasks).comm"}},
      {"print task(1)->mm a[ 2 ]", {"print", "task(1)->mm", "a[ 2 ]"}},
      {"print f(a | b)", {"print", "f(a | b)"}},
      {"ps | grep 'x | y' | wc", {"ps"}, "grep 'x | y' | wc"},
      {"ps|head -1", {"ps"}, "head -1"},
      {"log > /tmp/a b", {"log"}, "cat > /tmp/a b"},
      {"log >>out", {"log"}, "cat >>out"},
      {"search --string '|'", {"search", "--string", "|"}},
  };
  for (const Case& c : cases) {
    const ShellLine line = parse_shell_line(c.line);
    EXPECT_EQ(line.words, c.words) << c.line;
    EXPECT_EQ(line.reader, c.reader) << c.line;
  }
}

TEST(ShellLine, SaysWhatIsNotClosed) {
  for (const char* line :
       {"print 'a", "print \"a", "print list(a, b", "print a\\", "ps |", "ps ||x", "ps >", "| less", "> a"})
    EXPECT_THROW(parse_shell_line(line), Error) << line;
}

const std::set<std::string> commands = {"bt",   "dis",    "info",   "log", "mem",  "mod",  "print", "ps",
                                        "read", "search", "struct", "sym", "vtop", "wait", "irq"};

std::string meaning(const std::string& line) {
  std::string out;
  for (const std::string& word : translate_alias(parse_shell_line(line).words, commands))
    out += (out.empty() ? "" : " ") + word;
  return out;
}

TEST(CrashAliases, AreOurCommands) {
  const std::pair<const char*, const char*> cases[] = {
      {"bt", "bt"},
      {"bt -l 1", "bt 1"},
      {"dmesg", "log"},
      {"log -T", "log --wall"},
      {"p init_task.comm", "print init_task.comm"},
      {"rd -32 jiffies 4", "read -u 4 jiffies 4"},
      {"rd -S ffff0000 2", "read -s ffff0000 2"},
      {"dis panic 4", "dis panic -n 4"},
      {"dis -n 4 panic", "dis -n 4 panic"},
      {"dis -r panic+8", "dis -r panic+8"},
      {"kmem -i", "mem"},
      {"kmem -s", "mem --slabs"},
      {"kmem -v", "mem --vmalloc"},
      {"kmem ffff888000000000", "mem ffff888000000000"},
      {"kmem -S ffff888000000000", "mem ffff888000000000"},
      {"ps -k", "ps --kernel"},
      {"ps 1 bash", "ps --pid 1 --name bash"},
      {"ps --sort rss 7", "ps --sort rss --pid 7"},
      {"foreach UN bt", "bt --all-tasks --state D"},
      {"foreach bash 7 bt -l", "bt --all-tasks --name bash --pid 7"},
      {"foreach kernel ps -l", "ps --sort last --kernel"},
      {"list -H 0x1000 task_struct.tasks", "print list(0x1000, struct task_struct, tasks)"},
      {"list task_struct.tasks -h 0x1000",
       "print list(((struct task_struct *)0x1000)->tasks, struct task_struct, tasks)"},
      {"struct task_struct -o", "struct task_struct"},
      // What is ours stays.
      {"struct task_struct -o out", "struct task_struct -o out"},
      {"irq -a", "irq -a"},
      {"* task_struct", "struct task_struct"},
      {"whatis task_struct", "struct task_struct"},
      {"vtop -c 1 0x400000", "vtop --task 1 0x400000"},
      {"search -c text", "search --string text"},
      {"waitq 0x1000", "wait 0x1000"},
      {"no_such 1", "no_such 1"},
  };
  for (const auto& [line, ours] : cases) EXPECT_EQ(meaning(line), ours) << line;
}

TEST(CrashAliases, SayWhatHasNoCounterpart) {
  for (const char* line :
       {"kmem", "kmem -p", "set 1", "foreach UN", "foreach UN read", "list 0x1000", "tree -t radix"}) {
    try {
      meaning(line);
      ADD_FAILURE() << line;
    } catch (const Error& error) {
      EXPECT_FALSE(error.hint().empty()) << line;
    }
  }
}

Vocabulary vocabulary() {
  Vocabulary words;
  words.commands = [] { return Words{"print", "ps", "struct", "bt"}; };
  words.options = [](std::string_view command) {
    return command == "bt" ? Words{"--all", "--all-tasks", "--group"} : Words{};
  };
  words.symbols = [](std::string_view) { return Words{"jiffies", "jiffies_64", "init_task"}; };
  words.types = [](std::string_view) { return Words{"task_struct", "task_group"}; };
  words.members = [](std::string_view type) {
    return type == "task_struct" ? Words{"comm", "cred", "pid"} : Words{};
  };
  return words;
}

TEST(Complete, NamesWhatFits) {
  struct Case {
    const char* text;
    Words words;
    const char* common;
    size_t start;
  };
  const Case cases[] = {
      {"", {"bt", "print", "ps", "struct"}, "", 0},
      {"p", {"print", "ps"}, "p", 0},
      {"  pr", {"print"}, "print", 2},
      {"help s", {"struct"}, "struct", 5},
      {"bt --a", {"--all", "--all-tasks"}, "--all", 3},
      {"ps --a", {}, "--a", 3},
      {"struct task_s", {"task_struct"}, "task_struct", 7},
      {"struct task_struct.c", {"task_struct.comm", "task_struct.cred"}, "task_struct.c", 7},
      {"struct task_struct.comm,p", {"task_struct.comm,pid"}, "task_struct.comm,pid", 7},
      {"struct none.c", {}, "none.c", 7},
      {"read jif", {"jiffies", "jiffies_64"}, "jiffies", 5},
      {"print task(init", {"init_task"}, "init_task", 11},
      {"print (struct task_", {"task_group", "task_struct"}, "task_", 14},
      {"bt ", {}, "", 3},
      {"bt 'ji", {}, "ji", 3},
      {"bt | le", {}, "", 0},
  };
  for (const Case& c : cases) {
    const Completion found = complete(c.text, vocabulary());
    EXPECT_EQ(found.words, c.words) << c.text;
    if (c.words.empty()) continue;
    EXPECT_EQ(found.common, c.common) << c.text;
    EXPECT_EQ(found.start, c.start) << c.text;
  }
}

}  // namespace
}  // namespace kdk
