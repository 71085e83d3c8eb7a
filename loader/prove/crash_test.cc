#include "loader/prove/crash_test.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/base/log.h"
#include "loader/prove/dump_places.h"

namespace kdk {
namespace {

using State = CrashTestOutcome::State;
using Json = nlohmann::ordered_json;

constexpr uint64_t max_record = 1 << 20;

std::string read_boot_id(const SysRoot& root) {
  return root.read_line("/proc/sys/kernel/random/boot_id").value_or("");
}

bool is_mark(std::string_view text) {
  return text.size() == 16 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

CrashTest parse_crash_test(const std::string& text) {
  try {
    Json json = Json::parse(text);
    CrashTest test;
    test.mark = json.at("mark").get<std::string>();
    if (!is_mark(test.mark)) throw Error(Errc::format, "\"mark\" is not 16 hexadecimal digits");
    test.boot_id = json.at("boot_id").get<std::string>();
    test.started_at = json.at("started_at").get<std::string>();
    test.dump_directories = json.at("dump_directories").get<std::vector<std::string>>();
    return test;
  } catch (const Json::exception& e) {
    throw Error(Errc::format, e.what());
  }
}

void write_to(const char* path, std::string_view text) {
  Fd fd = Fd::open(path, O_WRONLY);
  write_all(fd, as_bytes(text), path);
}

}  // namespace

CrashTest new_crash_test(const SysRoot& root, std::vector<std::string> dump_directories) {
  std::array<uint8_t, 8> random{};
  if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size()))
    throw error_from_errno(errno, "getrandom");
  CrashTest test;
  for (uint8_t byte : random) test.mark += fmt::format("{:02x}", byte);
  test.boot_id = read_boot_id(root);
  test.started_at = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  test.dump_directories = std::move(dump_directories);
  return test;
}

std::string crash_test_line(const CrashTest& test) {
  return fmt::format("kdumpkit: crash test {}", test.mark);
}

void write_crash_test(const SysRoot& root, const CrashTest& test) {
  std::filesystem::path path = root.path(crash_test_path);
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) throw error_from_errno(error.value(), path.parent_path().string());
  Json json = {{"mark", test.mark},
               {"boot_id", test.boot_id},
               {"started_at", test.started_at},
               {"dump_directories", test.dump_directories}};
  std::string text = json.dump(2) + "\n";
  write_file_atomic(path, as_bytes(text), 0644);
}

void remove_crash_test(const SysRoot& root) {
  std::error_code error;
  std::filesystem::remove(root.path(crash_test_path), error);
  if (error) throw error_from_errno(error.value(), root.path(crash_test_path).string());
}

std::optional<CrashTest> read_crash_test(const SysRoot& root) {
  if (!root.exists(crash_test_path)) return std::nullopt;
  std::string text = read_text_file(root.path(crash_test_path), max_record);
  return with_context(crash_test_path, [&] { return parse_crash_test(text); });
}

void crash_now(const CrashTest& test) {
  constexpr const char* trigger = "/proc/sysrq-trigger";
  if (::access(trigger, F_OK) != 0) {
    throw Error(Errc::missing, "this kernel has no /proc/sysrq-trigger (CONFIG_MAGIC_SYSRQ)");
  }
  write_to("/dev/kmsg", "<2>" + crash_test_line(test));
  ::sync();
  write_to(trigger, "c");
  constexpr std::chrono::seconds patience(10);  // the panic may come from another CPU
  std::this_thread::sleep_for(patience);
  throw Error(Errc::unsupported, "the kernel was told to crash through /proc/sysrq-trigger and lives on")
      .with_hint("its log says why: dmesg | tail");
}

std::string_view to_string(State state) {
  switch (state) {
    case State::pending:
      return "pending";
    case State::arrived:
      return "arrived";
    case State::incomplete:
      return "incomplete";
    case State::log_only:
      return "log_only";
    case State::not_arrived:
      return "not_arrived";
    case State::unknown:
      return "unknown";
  }
  return "unknown";
}

std::string crash_test_to_text(const CrashTestOutcome& outcome) {
  std::string out = "crash test    ";
  if (outcome.state != State::unknown) out += escape_untrusted(outcome.test.started_at) + ": ";
  std::string where = escape_untrusted(outcome.where);
  switch (outcome.state) {
    case State::pending:
      out += "the machine has not been crashed yet\n";
      break;
    case State::arrived:
      out += fmt::format("the dump arrived in {}\n", where);
      break;
    case State::incomplete:
      out += fmt::format("the dump in {} is INCOMPLETE\n", where);
      break;
    case State::log_only:
      out += fmt::format("ONLY THE LOG arrived in {}\n", where);
      break;
    case State::not_arrived:
      out += "THE DUMP DID NOT ARRIVE\n";
      break;
    case State::unknown:
      out += "what was recorded of it cannot be read\n";
      break;
  }
  if (outcome.state == State::not_arrived) {
    out += outcome.searched.empty()
               ? "  nowhere to look: name a directory with --dump-dir\n"
               : escape_untrusted(fmt::format("  searched: {}", fmt::join(outcome.searched, ", "))) + "\n";
  }
  for (const std::string& note : outcome.notes) out += fmt::format("  {}\n", escape_untrusted(note));
  return out;
}

std::string crash_test_to_json(const CrashTestOutcome& outcome) {
  auto strings = [](const std::vector<std::string>& list) {
    Json json = Json::array();
    for (const std::string& text : list) json.push_back(escape_untrusted(text));
    return json;
  };
  Json json = {{"state", to_string(outcome.state)},
               {"mark", outcome.test.mark},
               {"boot_id", escape_untrusted(outcome.test.boot_id)},
               {"started_at", escape_untrusted(outcome.test.started_at)},
               {"where", outcome.where.empty() ? Json(nullptr) : Json(escape_untrusted(outcome.where))},
               {"searched", strings(outcome.searched)},
               {"notes", strings(outcome.notes)}};
  return json.dump();
}

}  // namespace kdk
