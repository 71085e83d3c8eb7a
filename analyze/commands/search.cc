// `kdump-analyze search`.
#include <algorithm>
#include <thread>

#include "analyze/ask.h"
#include "analyze/commands/address_argument.h"
#include "analyze/commands/command.h"
#include "analyze/commands/commands.h"
#include "analyze/render/addresses.h"

namespace kdk {
namespace {

SearchPattern value_pattern(Session& session, const std::string& text, unsigned unit, uint64_t mask) {
  SearchPattern pattern;
  pattern.query = escape_untrusted(text);
  pattern.unit = unit;
  pattern.value = require_address(session, text);
  const uint64_t all = unit == 8 ? ~uint64_t{0} : (uint64_t{1} << unit * 8) - 1;
  pattern.mask = mask & all;
  if ((pattern.value & ~all) != 0)
    throw Error(Errc::unsupported, fmt::format("{}: {:#x} does not fit {} bytes", text, pattern.value, unit));
  return pattern;
}

SearchPattern bytes_pattern(const std::string& digits) {
  SearchPattern pattern;
  pattern.query = escape_untrusted(digits);
  pattern.unit = 0;
  for (size_t i = 0; i + 1 < digits.size(); i += 2) {
    const auto byte = static_cast<uint8_t>(std::stoul(digits.substr(i, 2), nullptr, 16));
    pattern.bytes.push_back(byte);
  }
  return pattern;
}

// Two digits for each byte.
std::string check_bytes(const std::string& digits) {
  const bool good = !digits.empty() && digits.size() % 2 == 0 && digits.size() <= 2048 &&
                    digits.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
  return good ? "" : digits + ": not pairs of hexadecimal digits";
}
std::string check_text(const std::string& text) {
  return !text.empty() && text.size() <= 1024 ? "" : "a string of 1 to 1024 bytes";
}

}  // namespace

void add_search(Program& program) {
  struct Words {
    std::vector<std::string> values, strings, bytes;
    uint64_t mask = ~uint64_t{0};
    unsigned unit = 8;
    SearchRequest request;
  };
  Command command(program, "search", "Where a value, a string or bytes are in memory");
  auto words = std::make_shared<Words>();
  words->request.threads = std::clamp(std::thread::hardware_concurrency(), 1u, 4u);
  command.one_dump();
  command.app().add_option("VALUE", words->values,
                           "A number, a symbol's address, or an expression as of print");
  command.app()
      .add_option("-u,--unit", words->unit, "Bytes of a value, which is aligned to them; default 8")
      ->check(CLI::IsMember({8, 4, 2, 1}));
  command.app().add_option("-m,--mask", words->mask, "Only these bits of a value count");
  command.app()
      .add_option("--string", words->strings, "A text, at any place (may be repeated)")
      ->type_name("TEXT")
      ->check(CLI::Validator(check_text, ""))
      ->allow_extra_args(false);
  command.app()
      .add_option("--bytes", words->bytes, "Bytes in hexadecimal, at any place (may be repeated)")
      ->type_name("HEX")
      ->check(CLI::Validator(check_bytes, ""))
      ->allow_extra_args(false);
  command.app().add_flag("-s,--stacks", words->request.stacks, "Only in the stacks of tasks");
  command.app()
      .add_option("--limit", words->request.limit, "Places that are shown; default 1000")
      ->check(CLI::Range(uint64_t{1}, most_search_hits));
  command.app()
      .add_option("-j,--jobs", words->request.threads, "Threads; default: one per CPU, at most 4")
      ->check(CLI::Range(1u, 64u));
  command.debug_info();
  command.output();
  command.run([words](const Options& options) -> int {
    if (words->values.empty() && words->strings.empty() && words->bytes.empty()) {
      log_error("search: nothing to search for; give a VALUE, --string or --bytes");
      return exit_usage;
    }
    const OpenSession opened(options);
    Session& session = *opened;
    Kernel& kernel = require_kernel(session);
    session.debug_info();
    session.modules();
    SearchRequest request = words->request;
    for (const std::string& each : words->values)
      request.patterns.push_back(value_pattern(session, each, words->unit, words->mask));
    for (const std::string& each : words->strings)
      request.patterns.push_back({escape_untrusted(each), 0, 0, 0, {each.begin(), each.end()}});
    for (const std::string& each : words->bytes) request.patterns.push_back(bytes_pattern(each));
    SearchResult result = search_memory(kernel, session.owners(), std::move(request));
    std::vector<Limit> limits;
    if (result.pages_unreadable != 0) {
      limits.push_back(
          {"/pages_unreadable", "page_unreadable",
           fmt::format("{} pages that should be in the dump cannot be read", result.pages_unreadable), "",
           true});
    }
    const bool found = result.total != 0;
    const int code = finish(options, answer_of(session, std::move(result), std::move(limits)));
    return found ? code : exit_failed;
  });
}

}  // namespace kdk
