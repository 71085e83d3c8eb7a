#include "capture/crypt/cli.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "capture/crypt/decrypt.h"
#include "capture/crypt/keys.h"
#include "capture/stop.h"
#include "core/base/cli.h"
#include "core/base/file.h"
#include "core/base/log.h"

namespace kdk {
namespace {

int keygen(const std::filesystem::path& file, bool force) {
  std::filesystem::path public_file = file;
  public_file += ".pub";
  for (const std::filesystem::path& each : {file, public_file}) {
    if (!force && std::filesystem::exists(each))
      throw Error(Errc::denied, each.string() + ": already exists")
          .with_hint("dumps sealed to a lost key are lost; -f replaces it");
  }
  const SecretKey key = make_secret_key();
  const std::string secret = to_text(key), open = to_text(public_key_of(key));
  write_file_atomic(file, as_bytes(secret), 0600);
  write_file_atomic(public_file, as_bytes(open), 0644);
  std::fputs(fmt::format("secret key: {}\npublic key: {}\n", file.string(), public_file.string()).c_str(),
             stdout);
  return exit_done;
}

void add_keygen(CLI::App& app, std::function<int()>& chosen) {
  auto file = std::make_shared<std::filesystem::path>();
  auto force = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("keygen", "Make a pair of keys for sealed dumps: FILE and FILE.pub");
  command->footer(
      "FILE.pub goes onto the machines, for --encrypt-to; FILE stays with who reads their dumps.");
  command->add_option("FILE", *file, "Where the secret key goes")->required();
  command->add_flag("-f,--force", *force, "Replace keys that exist");
  command->callback([file, force, &chosen] { chosen = [file, force] { return keygen(*file, *force); }; });
}

int run_decrypt(const DecryptOptions& options) {
  stop_on_signals();
  const Decrypted result = decrypt(options, stop_requested);
  for (const std::string& reason : result.reasons) log_warning("{}", reason);
  std::fputs(
      fmt::format("{}: {:.1f} MiB\n", result.output, static_cast<double>(result.bytes) / (1 << 20)).c_str(),
      stdout);
  return result.reasons.empty() ? exit_done : exit_partial;
}

void add_decrypt(CLI::App& app, std::function<int()>& chosen) {
  auto options = std::make_shared<DecryptOptions>();
  CLI::App* command = app.add_subcommand("decrypt", "Open a sealed dump, log or summary");
  command->footer(
      "A file that was cut, or changed at some place, gives what comes before; the dump then says "
      "INCOMPLETE.\n"
      "Exit status: 0 all of it, 1 nothing, 2 usage, 3 in part (what is missing is printed).");
  command->add_option("FILE", options->input, "The sealed file; - is standard input")->required();
  command->add_option("-o,--output", options->output, "What to make of it")->required()->type_name("FILE");
  command->add_option("--key", options->key, "The secret key")->required()->type_name("FILE");
  command->add_flag("-f,--force", options->force, "Replace OUTPUT when it exists");
  command->callback([options, &chosen] { chosen = [options] { return run_decrypt(*options); }; });
}

}  // namespace

void add_crypt_commands(CLI::App& app, std::function<int()>& chosen) {
  add_keygen(app, chosen);
  add_decrypt(app, chosen);
}

}  // namespace kdk
