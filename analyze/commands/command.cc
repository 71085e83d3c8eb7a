#include "analyze/commands/command.h"

#include <cstdio>

#include "core/base/file.h"

namespace kdk {

// As they stand on the command line.
struct Command::Words {
  Options options;
  std::string dump;  // one_dump()
  std::vector<std::string> parts;
  std::string format = "text";
  bool no_debug_info = false;
};

Command::Command(Program& program, const std::string& name, const std::string& description)
    : app_(program.app.add_subcommand(name, description)),
      program_(program),
      words_(std::make_shared<Words>()) {
  words_->options.opened = program.session;
}

void Command::vmcoreinfo() {
  if (program_.session != nullptr) return;
  app_->add_option(
          "--vmcoreinfo", words_->options.session.vmcoreinfo,
          "Use this VMCOREINFO, a text or a note; without it, a dump that has none is searched for it")
      ->type_name("FILE");
}

// A shell fills it in.
void Command::hide_dump() {
  if (program_.session != nullptr) app_->get_option("DUMP")->group("");
}

void Command::dump() {
  app_->add_option("DUMP", words_->options.session.dump,
                   "The dump; several files are the parts of one split set")
      ->required();
  vmcoreinfo();
  hide_dump();
}

void Command::one_dump() {
  app_->add_option("DUMP", words_->dump, "The dump")->required()->type_name("FILE");
  vmcoreinfo();
  hide_dump();
  if (program_.session != nullptr) return;
  app_->add_option("--part", words_->parts, "A further part of a split set (may be repeated)")
      ->type_name("FILE")
      ->allow_extra_args(false);
}

void Command::debug_dirs() {
  if (program_.session != nullptr) return;
  app_->add_option("--debug-dir", words_->options.session.search.debug_dirs,
                   "Look for debug information here first (may be repeated)")
      ->type_name("DIR")
      ->allow_extra_args(false);
  CLI::Option* servers = app_->add_flag(
      "--debuginfod", words_->options.session.search.debuginfod,
      "Ask the servers of $DEBUGINFOD_URLS for what is not found here; tells them which kernel crashed");
  app_->add_flag("--no-debug-info", words_->no_debug_info, "Do not look for a vmlinux")->excludes(servers);
}

void Command::debug_info() {
  if (program_.session != nullptr) return;
  app_->add_option("--vmlinux", words_->options.session.search.vmlinux,
                   "Use this vmlinux; refused when it is another build")
      ->type_name("FILE");
  debug_dirs();
}

void Command::output() {
  app_->add_flag("--json", words_->options.json, "Print JSON (schemas/*.schema.json)");
  app_->add_option("-o,--output", words_->options.output,
                   "Write to this file, whole or not at all, instead of stdout")
      ->type_name("FILE");
}

void Command::output_with_html() {
  output();
  app_->add_option("--format", words_->format, "text, json or html")
      ->check(CLI::IsMember({"text", "json", "html"}))
      ->excludes("--json");
}

void Command::run(std::function<int(const Options&)> body) {
  app_->callback([words = words_, body = std::move(body), &program = program_] {
    program.chosen = [words, body] {
      Options& options = words->options;
      if (!words->dump.empty()) options.session.dump.emplace_back(words->dump);
      for (const std::string& part : words->parts) options.session.dump.emplace_back(part);
      options.session.use_debug_info = !words->no_debug_info;
      if (words->format == "json") options.json = true;
      options.html = words->format == "html";
      return body(options);
    };
  });
}

void emit(const Options& options, const std::string& text) {
  if (!options.output.empty()) {
    write_file_atomic(options.output, as_bytes(text));
    return;
  }
  std::fwrite(text.data(), 1, text.size(), stdout);
}

}  // namespace kdk
