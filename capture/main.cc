// kdump-capture: saves a crash dump inside the crash kernel, and copies, filters and compresses dumps
// anywhere.
#include <CLI/CLI.hpp>
#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdio>

#include "capture/info.h"
#include "capture/save.h"
#include "core/base/cli.h"
#include "core/base/log.h"
#include "core/kernel/memory.h"
#include "core/kernel/printk.h"
#include "core/kernel/vmcoreinfo_search.h"

namespace {

using namespace kdk;

std::atomic<bool> stop_requested = false;
static_assert(std::atomic<bool>::is_always_lock_free);  // so a signal handler may set it

// The first signal ends the capture with what is written kept; a second one kills as usual.
void stop_on_signals() {
  struct sigaction action {};
  action.sa_handler = [](int) { stop_requested = true; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(signal, &action, nullptr);
}

struct SaveArguments {
  SaveOptions options;
  std::vector<std::string> files;
  std::string compress = "zstd";
  std::string exclude, summary, log, progress = "auto";
  bool zlib = false, lzo = false, snappy = false, zstd = false;
};

// "zstd:3" to codec and level; a message when it names nothing.
std::string parse_compress(const std::string& text, SaveOptions& options) {
  const size_t colon = text.find(':');
  const std::optional<Codec> codec = parse_codec(std::string_view(text).substr(0, colon));
  if (!codec) return "is not one of zstd, lzo, snappy, zlib, none";
  options.codec = *codec;
  options.codec_level = 0;
  if (colon == std::string::npos) return {};
  const int lowest = *codec == Codec::zstd ? -7 : 1, highest = *codec == Codec::zstd ? 19 : 9;
  if (*codec != Codec::zstd && *codec != Codec::zlib) return "takes no level";
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data() + colon + 1, end, options.codec_level);
  if (error != std::errc() || rest != end || options.codec_level < lowest || options.codec_level > highest ||
      options.codec_level == 0) {
    return fmt::format("has no such level ({} to {}, not 0)", lowest, highest);
  }
  return {};
}

void add_vmcoreinfo(CLI::App& command, std::optional<std::filesystem::path>& file) {
  command
      .add_option(
          "--vmcoreinfo", file,
          "Use this VMCOREINFO, a text or a note; without it, a dump that has none is searched for it")
      ->type_name("FILE");
}

void add_save(CLI::App& app, SaveArguments& a) {
  CLI::App* save = app.add_subcommand("save", "Filter and compress a dump into a kdump-compressed file");
  save->footer(
      "INPUT is /proc/vmcore or any dump file; several INPUTs are the parts of one split dump.\n"
      "Levels are sums of: 1 zero pages, 2 page cache, 4 page cache with private data, 8 user memory, 16 "
      "free pages.\n"
      "Exit status: 0 saved, 1 nothing saved, 2 usage, 3 saved in part (what is missing is printed).");
  save->add_option("files", a.files, "INPUT... OUTPUT")->required()->expected(2, -1)->type_name("FILE");
  CLI::Option* level =
      save->add_option("-d,--level", a.options.level, "Dump level 0 to 31: what to leave out")
          ->check(CLI::Range(0u, 31u))
          ->capture_default_str();
  save->add_option("--exclude", a.exclude, "The same by names: zero,cache,private,user,free, or all or none")
      ->check([](const std::string& names) {
        return parse_exclude(names) ? std::string()
                                    : std::string("use zero,cache,private,user,free, or all or none");
      })
      ->excludes(level);
  CLI::Option* compress =
      save->add_option("--compress", a.compress, "zstd[:-7..19], zlib[:1..9], lzo, snappy or none")
          ->check([](const std::string& text) {
            SaveOptions scratch;
            const std::string problem = parse_compress(text, scratch);
            return problem.empty() ? problem : text + " " + problem;
          })
          ->capture_default_str();
  CLI::Option_group* codecs = save->add_option_group("codec", "As makedumpfile has them");
  codecs->require_option(0, 1);
  codecs->add_flag("-c", a.zlib, "--compress zlib")->excludes(compress);
  codecs->add_flag("-l", a.lzo, "--compress lzo")->excludes(compress);
  codecs->add_flag("-p", a.snappy, "--compress snappy")->excludes(compress);
  codecs->add_flag("-z", a.zstd, "--compress zstd")->excludes(compress);
  save->add_option("--threads", a.options.threads, "Compression threads; default: as many as CPUs, at most 8")
      ->check(CLI::Range(1u, 256u));
  save->add_option("--summary", a.summary, "Write a JSON summary here, before the dump and again after it");
  save->add_option("--log", a.log, "Write the kernel log here, before the dump");
  save->add_option("--progress", a.progress, "auto, tty, plain, json or none")
      ->check(CLI::IsMember({"auto", "tty", "plain", "json", "none"}))
      ->capture_default_str();
  add_vmcoreinfo(*save, a.options.vmcoreinfo);
  save->add_flag("-f,--force", a.options.force, "Replace OUTPUT when it exists");
}

int run_save(SaveArguments& a) {
  SaveOptions& options = a.options;
  options.output = a.files.back();
  options.inputs.assign(a.files.begin(), a.files.end() - 1);
  if (!a.exclude.empty()) options.level = parse_exclude(a.exclude).value_or(options.level);
  const char* letter = a.zlib ? "zlib" : a.lzo ? "lzo" : a.snappy ? "snappy" : a.zstd ? "zstd" : nullptr;
  parse_compress(letter != nullptr ? letter : a.compress, options);  // was checked
  if (!a.summary.empty()) options.summary = a.summary;
  if (!a.log.empty()) options.log = a.log;
  options.progress = parse_progress_mode(a.progress).value_or(ProgressMode::automatic);
  stop_on_signals();
  const CaptureReport report = save_dump(options, stop_requested);
  for (const std::string& note : report.notes) log_info("{}", note);
  for (const std::string& reason : report.reasons) log_warning("{}", reason);
  std::fputs(report_text(report).c_str(), stdout);
  return report.status == CaptureStatus::complete ? exit_done : exit_partial;
}

// What log and info read.
struct Input {
  std::vector<std::filesystem::path> files;
  std::optional<std::filesystem::path> vmcoreinfo;
};

int run_log(const Input& input, const std::string& output) {
  const std::unique_ptr<Dump> dump = open_kernel_dump(input.files, input.vmcoreinfo);
  KernelMemory memory(*dump);
  const KernelLog log = read_log(memory);
  if (log.records.empty()) {
    throw Error(Errc::missing, fmt::format("{}: no kernel log: {}", dump->name(),
                                           log.problems.empty() ? "it is empty" : log.problems.front()));
  }
  std::string text;
  for (const LogRecord& record : log.records) text += format_record(record) + "\n";
  if (output.empty())
    std::fputs(text.c_str(), stdout);
  else
    write_file_atomic(output, as_bytes(text), 0600);
  for (const std::string& problem : log.problems) log_warning("log: {}", problem);
  return log.problems.empty() ? exit_done : exit_partial;
}

int run_info(const Input& input, bool json) {
  const std::unique_ptr<Dump> dump = open_kernel_dump(input.files, input.vmcoreinfo);
  std::fputs((json ? info_json(*dump) : info_text(*dump)).c_str(), stdout);
  return exit_done;
}

int run(int argc, char** argv) {
  CLI::App app("Saves crash dumps: log first, then a first report, then the filtered and compressed dump.",
               "kdump-capture");
  app.set_version_flag("--version", "kdump-capture " KDK_VERSION);
  app.require_subcommand(1);
  app.fallthrough();
  bool verbose = false;
  app.add_flag("-v,--verbose", verbose, "Say more on stderr");

  SaveArguments save;
  add_save(app, save);
  Input input;
  std::string output;
  bool json = false;
  CLI::App* log = app.add_subcommand("log", "Print the kernel log of a dump");
  log->add_option("INPUT", input.files, "The dump, or all parts of a split one")->required();
  log->add_option("-o,--output", output, "Write to a file instead");
  CLI::App* info = app.add_subcommand("info", "Say what a dump is");
  info->add_option("INPUT", input.files, "The dump, or all parts of a split one")->required();
  for (CLI::App* command : {log, info}) add_vmcoreinfo(*command, input.vmcoreinfo);
  info->add_flag("--json", json, "As JSON (schemas/capture-info)");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? exit_done : exit_usage;
  }
  if (verbose) set_log_level(LogLevel::info);
  if (app.got_subcommand("save")) return run_save(save);
  if (app.got_subcommand(log)) return run_log(input, output);
  return run_info(input, json);
}

}  // namespace

int main(int argc, char** argv) {
  return kdk::run_main("kdump-capture", [&] { return run(argc, argv); });
}
