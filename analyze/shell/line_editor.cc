#include "analyze/shell/line_editor.h"

#include <fcntl.h>
#include <histedit.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>

#include "core/base/log.h"

namespace kdk {
namespace {

constexpr int history_lines = 1000;

// In columns, as ls(1) has them.
void show(const std::vector<std::string>& words) {
  winsize size{};
  const size_t width = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col != 0 ? size.ws_col : 80;
  size_t widest = 0;
  for (const std::string& word : words) widest = std::max(widest, word.size() + 2);
  const size_t columns = std::max<size_t>(1, width / widest), rows = (words.size() + columns - 1) / columns;
  for (size_t row = 0; row < rows; ++row) {
    std::string line;
    for (size_t i = row; i < words.size(); i += rows) {
      line += fmt::format("{:<{}}", escape_untrusted(words[i]), widest);
    }
    std::printf("%s\n", line.c_str());
  }
}

void on_interrupt(int) {}

}  // namespace

struct LineEditor::Impl {
  std::string prompt;
  std::filesystem::path file;
  std::function<Completion(std::string_view)> complete;
  EditLine* editor = nullptr;
  History* history = nullptr;

  static Impl& of(EditLine* editor) {
    void* data = nullptr;
    el_get(editor, EL_CLIENTDATA, &data);
    return *static_cast<Impl*>(data);
  }
  static char* prompt_of(EditLine* editor) { return of(editor).prompt.data(); }

  static unsigned char on_tab(EditLine* editor, int) {
    const LineInfo* line = el_line(editor);
    const std::string text(line->buffer, line->cursor);
    const Completion found = of(editor).complete(text);
    const size_t written = text.size() - std::min(found.start, text.size());
    if (found.words.empty()) return CC_ERROR;
    if (found.common.size() > written) {
      std::string more = found.common.substr(written);
      if (found.words.size() == 1) more += ' ';
      return el_insertstr(editor, more.c_str()) == 0 ? CC_REFRESH : CC_ERROR;
    }
    if (found.words.size() == 1) return el_insertstr(editor, " ") == 0 ? CC_REFRESH : CC_ERROR;
    std::printf("\n");
    show(found.words);
    if (found.words.size() >= most_completions) std::printf("... and more\n");
    std::fflush(stdout);
    return CC_REDISPLAY;
  }
};

LineEditor::LineEditor(const std::string& prompt, const std::filesystem::path& history,
                       std::function<Completion(std::string_view)> complete)
    : impl_(std::make_unique<Impl>()) {
  impl_->prompt = prompt;
  impl_->file = history;
  impl_->complete = std::move(complete);
  impl_->history = history_init();
  HistEvent event;
  ::history(impl_->history, &event, H_SETSIZE, history_lines);
  ::history(impl_->history, &event, H_SETUNIQUE, 1);
  ::history(impl_->history, &event, H_LOAD, history.c_str());
  impl_->editor = el_init("kdump-analyze", stdin, stdout, stderr);
  el_set(impl_->editor, EL_CLIENTDATA, impl_.get());
  el_set(impl_->editor, EL_PROMPT, &Impl::prompt_of);
  el_set(impl_->editor, EL_EDITOR, "emacs");
  el_set(impl_->editor, EL_HIST, ::history, impl_->history);
  el_set(impl_->editor, EL_ADDFN, "kdk-complete", "Complete the word", &Impl::on_tab);
  el_set(impl_->editor, EL_BIND, "^I", "kdk-complete", nullptr);
  el_set(impl_->editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  el_source(impl_->editor, nullptr);  // ~/.editrc
}

LineEditor::~LineEditor() {
  el_end(impl_->editor);
  history_end(impl_->history);
}

std::optional<std::string> LineEditor::read() {
  // Without SA_RESTART, so that Ctrl-C ends the reading; the handler itself has nothing to do.
  struct sigaction interrupt {
  }, before{};
  interrupt.sa_handler = on_interrupt;
  sigaction(SIGINT, &interrupt, &before);
  int count = 0;
  errno = 0;
  const char* line = el_gets(impl_->editor, &count);
  const bool interrupted = line == nullptr && errno == EINTR;
  sigaction(SIGINT, &before, nullptr);
  if (interrupted) {
    el_reset(impl_->editor);
    std::printf("\n");
    return std::string();
  }
  if (line == nullptr || count <= 0) return std::nullopt;
  std::string out(line, static_cast<size_t>(count));
  while (!out.empty() && out.back() == '\n') out.pop_back();
  if (!out.empty()) {
    HistEvent event;
    ::history(impl_->history, &event, H_ENTER, line);
    std::error_code ignored;
    std::filesystem::create_directories(impl_->file.parent_path(), ignored);
    const mode_t mask = umask(0077);
    ::history(impl_->history, &event, H_SAVE, impl_->file.c_str());
    umask(mask);
  }
  return out;
}

}  // namespace kdk
