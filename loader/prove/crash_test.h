// `kdump-load test --crash`: crashes the running machine on purpose, and finds out after the reboot whether
// the dump arrived.
//
// A mark ties the two together: a random word that goes into the kernel's log before the crash, and so into
// the log that is saved with the dump, and into a file that survives the reboot. A clock that is wrong in the
// crash kernel, or an older dump, cannot be mistaken for it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/file.h"

namespace kdk {

inline constexpr std::string_view crash_test_path = "/var/lib/kdumpkit/crash-test.json";

struct CrashTest {
  std::string mark;                           // 16 hexadecimal digits
  std::string boot_id;                        // of the boot that was crashed
  std::string started_at;                     // RFC 3339, UTC
  std::vector<std::string> dump_directories;  // where the user said that dumps go
};

// With a fresh mark. Throws Error{io}.
CrashTest new_crash_test(const SysRoot& root, std::vector<std::string> dump_directories);
// The line that the kernel's log shall hold.
std::string crash_test_line(const CrashTest& test);

// On disk when it returns. Throws Error{io,denied}.
void write_crash_test(const SysRoot& root, const CrashTest& test);
// Throws Error{io,denied}.
void remove_crash_test(const SysRoot& root);
// The last one; nullopt: there was none. Throws Error{format,denied,io} naming the file.
std::optional<CrashTest> read_crash_test(const SysRoot& root);

// Crashes the running kernel: mark into its log, sync, sysrq "c". Only returns by throwing: Error{missing}
// when the kernel has no sysrq, Error{denied,io} when it did not take it, Error{unsupported} when it lives
// on.
[[noreturn]] void crash_now(const CrashTest& test);

// What became of the last one.
struct CrashTestOutcome {
  enum class State {
    pending,      // this is the boot that was to be crashed
    arrived,      // the dump is there, and whole as far as is known
    incomplete,   // a dump is there, but not all of it
    log_only,     // the log is there, and no dump
    not_arrived,  // nothing with the mark was found
    unknown,      // what was recorded of it cannot be read
  };
  State state = State::pending;
  CrashTest test;
  std::string where;                  // the directory it was found in
  std::vector<std::string> searched;  // directories
  std::vector<std::string> notes;     // what could not be searched and why; what is odd
};
std::string_view to_string(CrashTestOutcome::State state);

// Looks into `more`, the directories of the test and the targets of /etc/kdumpkit.toml. nullopt: there was no
// test.
std::optional<CrashTestOutcome> find_crash_test(const SysRoot& root, const std::vector<std::string>& more);

std::string crash_test_to_text(const CrashTestOutcome& outcome);
// As "crash_test" of schemas/load-status.schema.json.
std::string crash_test_to_json(const CrashTestOutcome& outcome);

}  // namespace kdk
