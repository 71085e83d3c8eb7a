// kdump-load: arms the crash kernel.
#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>

#include "core/base/cli.h"
#include "core/base/log.h"
#include "loader/kexec/kexec.h"
#include "loader/plan/plan.h"
#include "loader/plan/plan_json.h"
#include "loader/plan/plan_text.h"
#include "loader/prove/cli.h"
#include "loader/reserve/cli.h"
#include "loader/signature/check_image.h"
#include "loader/state/arm.h"
#include "loader/state/cli.h"
#include "loader/state/load_config.h"
#include "loader/state/request_cli.h"
#include "loader/state/status.h"

namespace {

using namespace kdk;

struct Options : RequestOptions {
  std::string sysroot = "/";
  bool dry_run = false;
  std::string output_dir, config;
  std::vector<std::string> dump_directories;
  bool json = false;
  bool verbose = false;
  bool kexec_style = false;  // started the way kexec(8) is
};

void write_artefacts(const LoadPlan& plan, const std::filesystem::path& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) throw error_from_errno(error.value(), directory.string());
  for (const Segment& segment : plan.segments)
    write_file_atomic(directory / (segment.name + ".bin"), segment.data);
  std::string json = plan_to_json(plan, false) + "\n";
  write_file_atomic(directory / "plan.json", as_bytes(json));
}

void print_plan(const Options& options, const LoadPlan& plan, bool loaded) {
  std::string text = options.json ? plan_to_json(plan, loaded) + "\n" : plan_to_text(plan, options.verbose);
  std::fwrite(text.data(), 1, text.size(), stdout);
}

// The plan is printed by the caller; this says on stderr why it is not good enough.
void report_failed_checks(const LoadPlan& plan) {
  for (const Check& check : plan.checks) {
    if (check.status == Check::Status::failed) log_error("check {}: {}", check.name, check.detail);
    if (check.status == Check::Status::warning) log_info("check {}: {}", check.name, check.detail);
  }
}

// An option that means nothing on the machine the plan is for.
struct UsageError {
  std::string message;
};

std::string running_release(const SysRoot& root) {
  if (const auto release = root.read_line("/proc/sys/kernel/osrelease")) return *release;
  throw Error(Errc::missing, "/proc/sys/kernel/osrelease: it cannot be read, so the running kernel is not known");
}

// Takes from the configuration what the command line does not say. An initramfs belongs to its kernel: to a
// kernel from the command line none is taken from there.
void take_configured(Options& options) {
  LoadRequest& request = options.request;
  if (options.config.empty()) {
    if (request.kernel.empty()) throw UsageError{"a kernel is required, or --config FILE"};
    return;
  }
  const LoadConfig config =
      read_load_config(ConfigFile::read(options.config), running_release(SysRoot(options.sysroot)));
  if (request.kernel.empty()) {
    request.kernel = config.kernel;
    if (request.initrd.empty() && !request.uki_initrd) request.initrd = config.initrd;
  }
  if (!request.command_line && !options.reuse_command_line && !request.uki_command_line)
    request.command_line = config.command_line;
  if (request.append.empty()) request.append = config.append;
  if (!options.call_given) request.call = config.call;
  if (!options.digest_given) request.digest = config.digest;
}

int run_check_config(const std::string& path) {
  const ConfigFile file = ConfigFile::read(path);
  (void)read_load_config(file, running_release(SysRoot()));
  check_named_files(file);
  std::printf("%s: [load] is good\n", path.c_str());
  return exit_done;
}

PreparedLoad prepare(const Options& options) {
  Machine machine = read_machine(SysRoot(options.sysroot));
  LoadRequest request = options.request;
  if (!request.dtb.empty() && !machine.architecture->has_device_tree) {
    throw UsageError{
        fmt::format("--dtb: an {} crash kernel takes no device tree", machine.architecture->name)};
  }
  return prepare_load(machine, request);
}

int run_plan(const Options& options) {
  LoadPlan plan = prepare(options).plan;
  if (!options.output_dir.empty()) write_artefacts(plan, options.output_dir);
  print_plan(options, plan, false);
  if (plan.good()) return exit_done;
  report_failed_checks(plan);
  log_error("this plan would not be loaded");
  return exit_failed;
}

int run_load(const Options& options) {
  if (options.dry_run) return run_plan(options);
  SysRoot root(options.sysroot);
  if (!root.is_live())
    throw Error(Errc::unsupported, "--sysroot describes another machine: only --dry-run is possible");
  Fd lock = lock_loading(root);
  PreparedLoad prepared = prepare(options);
  const LoadPlan& plan = prepared.plan;
  if (!plan.good()) {
    if (options.json) print_plan(options, plan, false);
    report_failed_checks(plan);
    log_error("nothing was loaded; {}", crash_kernel_loaded(root)
                                            ? "the crash kernel loaded before is still armed"
                                            : "no crash kernel is loaded");
    return exit_failed;
  }
  arm(root, prepared, live_kexec(options.verbose));
  if (options.json || options.verbose) print_plan(options, plan, true);
  report_failed_checks(plan);  // warnings, with -v
  if (!options.json) std::printf("armed: crash kernel loaded, %zu checks passed\n", plan.checks.size());
  return exit_done;
}

int run_unload() {
  SysRoot root;
  Fd lock = lock_loading(root);
  disarm(root, live_kexec(false));
  return exit_done;
}

int run_status(const Options& options) {
  SysRoot root(options.sysroot);
  LoadStatus status = read_status(root);
  status.crash_test = find_crash_test(root, options.dump_directories);
  std::string text = options.json ? status_to_json(status) + "\n" : status_to_text(status);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return status.state == LoadStatus::State::armed ? exit_done : exit_partial;
}

int run_check_image(const CheckImageOptions& image, const Options& options) {
  ImageCheck check = check_image(image);
  std::string text = options.json ? image_check_to_json(check) + "\n" : image_check_to_text(check);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return check.forecast.verdict == Verdict::accepted ? exit_done : exit_partial;
}

void add_check_image_options(CLI::App& command, CheckImageOptions& image, Options& options) {
  command.add_option("image,--kernel", image.image, "Kernel image")->required();
  command
      .add_option("--cert", image.certificates,
                  "Certificate (PEM, DER) that the kernel trusts, or public key for IMA; may be repeated")
      ->type_name("FILE")
      ->allow_extra_args(false);
  command
      .add_option("--sysroot", image.sysroot, "Judge by /proc, /sys and /boot below DIR: a recorded machine")
      ->type_name("DIR");
  command.add_flag("--json", options.json, "Print JSON (schemas/image-check)");
}

void add_common_options(CLI::App& command, Options& options) {
  command.add_option("--sysroot", options.sysroot, "Read /proc, /sys and /run below DIR: a recorded machine")
      ->type_name("DIR");
  command.add_flag("--json", options.json, "Print JSON (schemas/load-plan, schemas/load-status)");
  command.add_flag("-v,--verbose", options.verbose, "Print more");
}

void add_plan_options(CLI::App& command, Options& options) {
  add_request_options(command, options);
  command
      .add_option("--config", options.config,
                  "Take what is not given here from the section [load] of this file (/etc/kdumpkit.toml)")
      ->type_name("FILE");
  command.add_option("--output-dir", options.output_dir, "Also write every segment and plan.json to DIR")
      ->type_name("DIR");
  add_common_options(command, options);
}

// kexec(8) habits: -p KERNEL loads, -u unloads, -S shows the status. Returns the subcommand for the first
// argument.
std::string_view subcommand_for(std::string_view argument) {
  if (argument == "-p" || argument == "--load-panic") return "load";
  if (argument == "-u" || argument == "--unload") return "unload";
  if (argument == "-S" || argument == "--status") return "status";
  return "";
}

int run(int argc, char** argv) {
  Options options;
  std::vector<std::string> arguments(argv + 1, argv + argc);
  if (!arguments.empty() && !subcommand_for(arguments[0]).empty()) {
    options.kexec_style = true;
    arguments[0] = subcommand_for(arguments[0]);
    // `kexec -p -u` and `kexec -u -p` both unload the crash kernel.
    if (arguments.size() == 2 && subcommand_for(arguments[1]) == "unload") arguments[0] = "unload";
    if (arguments.size() == 2 && !subcommand_for(arguments[1]).empty()) arguments.pop_back();
  }

  CLI::App app("Arms the crash kernel: checks everything it will be told, then loads it.", "kdump-load");
  app.set_version_flag("--version", KDK_VERSION);
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 done (status: armed; verify: as loaded; test: capture starts), 1 failed and nothing "
      "loaded, 2 usage, 3 test: could not be tried; "
      "status, verify: not armed, "
      "stale or not known; check-image: refused, or not known; reserve: too little, or not known.");
  CLI::App* plan = app.add_subcommand("plan", "Show what would be loaded, and check it");
  add_plan_options(*plan, options);
  CLI::App* load = app.add_subcommand("load", "Load the crash kernel (also: -p KERNEL)");
  add_plan_options(*load, options);
  load->add_flag("--dry-run", options.dry_run, "Only plan: the same as `plan`");
  CLI::App* unload = app.add_subcommand("unload", "Free the loaded crash kernel (also: -u)");
  CLI::App* status = app.add_subcommand("status", "Is this machine armed? (also: -S)");
  add_common_options(*status, options);
  status
      ->add_option("--dump-dir", options.dump_directories,
                   "Also look here for the dump of the last `test --crash`; may be repeated")
      ->type_name("DIR")
      ->check([](const std::string& text) { return text.starts_with('/') ? "" : "an absolute path"; })
      ->expected(1);
  CLI::App* check =
      app.add_subcommand("check-image", std::string("Who signed this kernel, and will this machine's kernel "
                                                    "accept it?") +
                                            (can_check_images ? "" : " (not in this build: needs OpenSSL)"));
  CLI::App* check_config =
      app.add_subcommand("check-config", "Say what is wrong with the section [load] of a configuration");
  std::string checked = "/etc/kdumpkit.toml";
  check_config->add_option("FILE", checked, "The configuration")->capture_default_str();
  std::function<int()> chosen;
  add_verify_command(app, chosen);
  add_reload_command(app, chosen);
  add_reserve_command(app, chosen);
  add_test_command(app, chosen);
  CheckImageOptions image;
  add_check_image_options(*check, image, options);

  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
  try {
    app.parse(arguments);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? exit_done : exit_usage;
  }
  if (options.verbose) set_log_level(LogLevel::info);
  LoadRequest& request = options.request;
  if (options.kexec_style && !options.reuse_command_line && !request.uki_command_line &&
      !request.command_line && !request.append.empty()) {
    // kexec's --append is the whole line unless --reuse-cmdline is there too.
    request.command_line = std::exchange(request.append, "");
  }
  try {
    if (plan->parsed() || load->parsed()) take_configured(options);
    if (plan->parsed()) return run_plan(options);
    if (load->parsed()) return run_load(options);
  } catch (const UsageError& e) {
    log_error("{}", e.message);
    return exit_usage;
  }
  if (chosen) return chosen();
  if (unload->parsed()) return run_unload();
  if (status->parsed()) return run_status(options);
  if (check->parsed()) return run_check_image(image, options);
  if (check_config->parsed()) return run_check_config(checked);
  return exit_usage;
}

}  // namespace

int main(int argc, char** argv) {
  return kdk::run_main("kdump-load", [&] { return run(argc, argv); });
}
