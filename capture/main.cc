// kdump-capture: saves a crash dump inside the crash kernel, and copies, filters and compresses dumps
// anywhere.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>

#include "capture/argument.h"
#include "capture/codec_name.h"
#include "capture/crypt/cli.h"
#include "capture/estimate_cli.h"
#include "capture/info.h"
#include "capture/output/reassemble.h"
#include "capture/run/cli.h"
#include "capture/save.h"
#include "capture/scrub/rules.h"
#include "capture/stop.h"
#include "core/base/cli.h"
#include "core/base/log.h"
#include "core/kernel/memory.h"
#include "core/kernel/printk.h"
#include "core/kernel/vmcoreinfo_search.h"

namespace {

using namespace kdk;

struct SaveArguments {
  SaveOptions options;
  std::vector<std::string> files;
  std::string compress = "zstd";
  std::string levels = "31", max_size;
  std::string exclude, summary, log, progress = "auto";
  std::string format = "kdump";
  bool zlib = false, lzo = false, snappy = false, zstd = false, elf = false, flattened = false;
  unsigned split = 0, message_level = 7;
  std::optional<unsigned> num_threads;
  bool compress_given = false, format_given = false;
  bool show_stats = false, dump_dmesg = false, reassemble = false, mem_usage = false, rearrange = false;
};

void add_vmcoreinfo(CLI::App& command, std::optional<std::filesystem::path>& file) {
  command
      .add_option(
          "--vmcoreinfo", file,
          "Use this VMCOREINFO, a text or a note; without it, a dump that has none is searched for it")
      ->type_name("FILE");
}

void add_save(CLI::App& app, SaveArguments& a) {
  CLI::App* save = app.add_subcommand("save", "Filter and compress a dump");
  save->footer(
      "INPUT is /proc/vmcore or any dump file; several INPUTs are the parts of one split dump.\n"
      "Levels are sums of: 1 zero pages, 2 page cache, 4 page cache with private data, 8 user memory, 16 "
      "free pages.\n"
      "Exit status: 0 saved, 1 nothing saved, 2 usage, 3 saved in part (what is missing is printed).");
  save->add_option("files", a.files, "INPUT... OUTPUT")->required()->expected(1, -1)->type_name("FILE");
  CLI::Option* level =
      save->add_option(
              "-d,--level", a.levels,
              "Dump level 0 to 31: what to leave out; several, as 1,17,31: the next one when the dump "
              "does not fit")
          ->check([](const std::string& text) {
            return parse_levels(text).empty()
                       ? std::string("use numbers from 0 to 31, with commas between them")
                       : std::string();
          })
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
            const std::string problem = parse_codec_name(text, scratch.codec, scratch.codec_level);
            return problem.empty() ? problem : text + " " + problem;
          })
          ->capture_default_str();
  CLI::Option_group* codecs = save->add_option_group("codec", "As makedumpfile has them");
  codecs->require_option(0, 1);
  codecs->add_flag("-c", a.zlib, "--compress zlib")->excludes(compress);
  codecs->add_flag("-l", a.lzo, "--compress lzo")->excludes(compress);
  codecs->add_flag("-p", a.snappy, "--compress snappy")->excludes(compress);
  codecs->add_flag("-z", a.zstd, "--compress zstd")->excludes(compress);
  CLI::Option* format =
      save->add_option(
              "--format", a.format,
              "kdump; flat: a stream for pipes, also to - (standard output); elf: uncompressed, for gdb")
          ->check(CLI::IsMember({"kdump", "flat", "elf"}))
          ->capture_default_str();
  save->add_flag("-F", a.flattened, "--format flat; without OUTPUT, to standard output")->excludes(format);
  save->add_flag("-E", a.elf, "--format elf")->excludes(format)->excludes("-F");
  save->add_option(
          "--split", a.split,
          "Save N files: give one INPUT and N OUTPUTs, or one OUTPUT to have .1 to .N added to its name")
      ->check(CLI::Range(2u, 1024u))
      ->type_name("N");
  save->add_option(
          "-L,--max-size", a.max_size,
          "No OUTPUT may become larger: bytes, or with K, M, G, T (powers of 1024). What is most useful "
          "is written first")
      ->check([](const std::string& text) {
        return parse_size(text) ? std::string()
                                : std::string("use a number of bytes, or one with K, M, G or T");
      })
      ->type_name("SIZE");
  save->add_flag("--dry-run", a.options.dry_run,
                 "Do everything but write OUTPUT: tells how large it would be");
  save->add_flag("--show-stats", a.show_stats, "Print a table of page classes at the end");
  CLI::Option* threads = save->add_option("--threads", a.options.threads,
                                          "Compression threads; default: as many as CPUs, at most 8")
                             ->check(CLI::Range(1u, 256u));
  save->add_option("--summary", a.summary, "Write a JSON summary here, before the dump and again after it");
  save->add_option("--log", a.log, "Write the kernel log here, before the dump");
  CLI::Option* progress = save->add_option("--progress", a.progress, "auto, tty, plain, json or none")
                              ->check(CLI::IsMember(std::vector<std::string>(progress_mode_names.begin(),
                                                                             progress_mode_names.end())))
                              ->capture_default_str();
  add_vmcoreinfo(*save, a.options.vmcoreinfo);
  save->add_option("--encrypt-to", a.options.encrypt_to,
                   "Seal dump, log and summary to this public key (see keygen, decrypt); --format flat")
      ->type_name("FILE");
  CLI::Option* scrub =
      save->add_option("--scrub", a.options.scrub, "Erase from the dump what this file names")
          ->type_name("FILE");
  save->add_flag("--scrub-strict", a.options.scrub_strict, "No dump unless all that it names is found")
      ->needs(scrub);
  save->add_flag("-f,--force", a.options.force, "Replace OUTPUT when it exists");

  CLI::Option_group* familiar =
      save->add_option_group("makedumpfile", "Names that makedumpfile has for them");
  familiar->add_option("--num-threads", a.num_threads, "--threads; 0 is 1")
      ->check(CLI::Range(0u, 256u))
      ->excludes(threads);
  familiar
      ->add_option("--message-level", a.message_level, "Without 1: --progress none; with 16: --show-stats")
      ->check(CLI::Range(0u, 31u))
      ->excludes(progress);
  familiar->add_flag("--dump-dmesg", a.dump_dmesg, "Save the kernel log only, as text: log INPUT -o OUTPUT");
  familiar->add_flag("--reassemble", a.reassemble,
                     "Join the parts of a split set: reassemble INPUT... OUTPUT");
  familiar->add_option("-i", a.options.vmcoreinfo, "--vmcoreinfo")->type_name("FILE");
  familiar->add_flag("-R", a.rearrange, "Make a file of the stream on standard input: reassemble - OUTPUT");
  familiar->add_flag("--mem-usage", a.mem_usage,
                     "Say what dumps of INPUT (/proc/kcore) would hold: estimate INPUT");
}

[[noreturn]] void usage(const std::string& what) {
  throw CLI::ValidationError(what);
}

// What the files are, which depends on the other options. Throws CLI::ParseError.
void sort_out_files(SaveArguments& a) {
  SaveOptions& options = a.options;
  if (a.elf) a.format = "elf";
  if (a.flattened) a.format = "flat";
  if (options.encrypt_to) {
    if (a.elf || a.split != 0 || (a.format_given && a.format != "flat"))
      usage("only --format flat can be sealed");
    a.format = "flat";
  }
  options.format = a.format == "elf"    ? OutputFormat::elf
                   : a.format == "flat" ? OutputFormat::flattened
                                        : OutputFormat::kdump;
  if (options.format == OutputFormat::elf && (a.zlib || a.lzo || a.snappy || a.zstd || a.compress_given))
    usage("an ELF dump is not compressed");
  if (options.format == OutputFormat::elf && !a.max_size.empty())
    usage("an ELF dump has its pages in their order: --max-size would cut what is needed most");
  if (a.flattened && a.files.size() == 1) a.files.emplace_back("-");
  if (a.mem_usage) {
    options.inputs.assign(a.files.begin(), a.files.end());
    return;
  }
  if (a.rearrange) {
    if (a.files.size() != 1) usage("-R needs an OUTPUT and nothing else");
    a.files.insert(a.files.begin(), "-");
    a.reassemble = true;
  }
  if (a.files.size() < 2) usage("INPUT and OUTPUT are needed");
  options.output = a.files.back();
  options.inputs.assign(a.files.begin(), a.files.end() - 1);
  if (a.files.back() == "-" && parse_levels(a.levels).size() > 1)
    usage("what was sent cannot be taken back: a list of levels needs a file");
  const bool whole = options.format == OutputFormat::kdump && a.split == 0 && !options.dry_run;
  if ((a.dump_dmesg || a.reassemble) && (!whole || (a.dump_dmesg && a.reassemble)))
    usage("--dump-dmesg and --reassemble go with no other output");
  if (a.split == 0) return;
  if (options.format != OutputFormat::kdump) usage("--split makes kdump-compressed files only");
  if (a.files.size() == 2) {
    for (unsigned i = 1; i <= a.split; ++i) options.split.push_back(fmt::format("{}.{}", a.files.back(), i));
  } else if (a.files.size() == a.split + 1) {
    options.inputs = {a.files.front()};
    options.split.assign(a.files.begin() + 1, a.files.end());
  } else {
    usage(fmt::format("--split {} needs one INPUT, and one OUTPUT or {}", a.split, a.split));
  }
}

int run_save(SaveArguments& a) {
  SaveOptions& options = a.options;
  const std::vector<unsigned> levels = parse_levels(a.levels);  // was checked
  options.level = levels.front();
  options.fallback_levels.assign(levels.begin() + 1, levels.end());
  if (!a.exclude.empty()) options.level = parse_exclude(a.exclude).value_or(options.level);
  if (!a.max_size.empty()) options.max_size = parse_size(a.max_size).value_or(0);
  const char* letter = a.zlib ? "zlib" : a.lzo ? "lzo" : a.snappy ? "snappy" : a.zstd ? "zstd" : nullptr;
  parse_codec_name(letter != nullptr ? letter : a.compress, options.codec,
                   options.codec_level);  // was checked
  if (!a.summary.empty()) options.summary = a.summary;
  if (!a.log.empty()) options.log = a.log;
  options.progress = parse_progress_mode(a.progress).value_or(ProgressMode::automatic);
  if ((a.message_level & 1) == 0) options.progress = ProgressMode::none;
  if (a.num_threads) options.threads = std::max(1u, *a.num_threads);
  if (options.scrub) read_scrub_rules(*options.scrub);  // a mistake in it is told before anything is done
  stop_on_signals();
  const CaptureReport report = save_dump(options, stop_requested);
  for (const std::string& note : report.notes) log_info("{}", note);
  for (const std::string& reason : report.reasons) log_warning("{}", reason);
  // What is said goes where the dump does not.
  std::FILE* out = options.output == "-" ? stderr : stdout;
  std::fputs(report_text(report).c_str(), out);
  if (a.show_stats || (a.message_level & 16) != 0) std::fputs(stats_text(report).c_str(), out);
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

int run_reassemble(const ReassembleOptions& options) {
  stop_on_signals();
  const Reassembled result = reassemble(options, stop_requested);
  for (const std::string& reason : result.reasons) log_warning("{}", reason);
  std::fputs(
      fmt::format("{}: {:.1f} MiB\n", result.output, static_cast<double>(result.bytes) / (1 << 20)).c_str(),
      stdout);
  return result.reasons.empty() ? exit_done : exit_partial;
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
  ReassembleOptions parts;
  std::vector<std::string> part_files;
  CLI::App* joined = app.add_subcommand("reassemble", "Make one file of a flattened stream or a split set");
  joined->add_option("files", part_files, "INPUT... OUTPUT; - reads a stream from standard input")
      ->required()
      ->expected(2, -1)
      ->type_name("FILE");
  joined->add_flag("-f,--force", parts.force, "Replace OUTPUT when it exists");
  CLI::App* info = app.add_subcommand("info", "Say what a dump is");
  info->add_option("INPUT", input.files, "The dump, or all parts of a split one")->required();
  std::function<int()> chosen;  // by a subcommand that has a file of its own
  add_run_commands(app, chosen);
  add_estimate_command(app, chosen);
  add_crypt_commands(app, chosen);
  for (CLI::App* command : {log, info}) add_vmcoreinfo(*command, input.vmcoreinfo);
  info->add_flag("--json", json, "As JSON (schemas/capture-info)");

  try {
    app.parse(argc, argv);
    save.format_given = app.get_subcommand("save")->count("--format") != 0;
    save.compress_given = app.get_subcommand("save")->count("--compress") != 0;
    if (app.got_subcommand("save")) sort_out_files(save);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? exit_done : exit_usage;
  }
  if (verbose) set_log_level(LogLevel::info);
  if (chosen) return chosen();
  if (save.mem_usage) {
    EstimateOptions estimate;
    estimate.inputs = save.options.inputs;
    estimate.vmcoreinfo = save.options.vmcoreinfo;
    return run_estimate(estimate, false);
  }
  if (save.reassemble) {
    part_files = save.files;
    parts.force = save.options.force;
  }
  if (save.reassemble || app.got_subcommand(joined)) {
    parts.output = part_files.back();
    parts.inputs.assign(part_files.begin(), part_files.end() - 1);
    return run_reassemble(parts);
  }
  if (save.dump_dmesg) return run_log({save.options.inputs, save.options.vmcoreinfo}, save.files.back());
  if (app.got_subcommand("save")) return run_save(save);
  if (app.got_subcommand(log)) return run_log(input, output);
  return run_info(input, json);
}

}  // namespace

int main(int argc, char** argv) {
  return kdk::run_main("kdump-capture", [&] { return run(argc, argv); });
}
