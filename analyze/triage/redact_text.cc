#include "analyze/triage/redact_text.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace kdk {
namespace {

constexpr size_t max_token = 256;  // longer ones are nothing of what is looked for

bool digit(char c) {
  return c >= '0' && c <= '9';
}
bool hex(char c) {
  return digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
bool letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool word(char c) {
  return letter(c) || digit(c) || c == '_';
}
char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

template <typename Predicate>
size_t run(std::string_view text, size_t at, Predicate&& fits) {
  size_t end = at;
  while (end < text.size() && end - at < max_token && fits(text[end])) ++end;
  return end - at;
}

// Whether `text` has `pattern` at `at`, whose '#' stands for a hexadecimal digit.
bool has_form(std::string_view text, size_t at, std::string_view pattern) {
  if (text.size() - at < pattern.size()) return false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '#' ? !hex(text[at + i]) : text[at + i] != pattern[i]) return false;
  }
  return true;
}

bool begins_with(std::string_view text, size_t at, std::string_view with) {
  if (text.size() - at < with.size()) return false;
  return std::ranges::equal(text.substr(at, with.size()), with, {}, lower);
}

// Length of a MAC address or UUID at `at`, where no digit goes before or after it; 0: none.
size_t fixed_form(std::string_view text, size_t at, std::string_view pattern) {
  if (!has_form(text, at, pattern)) return 0;
  const size_t end = at + pattern.size();
  if (end < text.size() && (word(text[end]) || text[end] == ':' || text[end] == '-')) {
    // "...:ff:" may be the end of a clause, but "...:ff:0" goes on.
    if (word(text[end]) || (end + 1 < text.size() && hex(text[end + 1]))) return 0;
  }
  return pattern.size();
}

std::string text_of(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), lower);
  return out;
}

bool everybodys(const in_addr& address) {
  const uint32_t ip = ntohl(address.s_addr);
  return ip == 0 || ip == 0xffffffff || ip >> 24 == 127 || ip >> 24 == 255;
}

// Value of "password=", "token:" and such: what stands behind the mark.
constexpr auto secret_words =
    std::to_array<std::string_view>({"password", "passwd", "passphrase", "secret", "token", "apikey",
                                     "api_key", "api-key", "credential", "credentials"});
constexpr auto serial_words = std::to_array<std::string_view>(
    {"serialnumber: ", "serial number: ", "serial number ", "serial: ", "serial=", "wwn-",
     "wwn: ", "machine-id=", "systemd.machine_id="});
constexpr auto home_directories = std::to_array<std::string_view>({"/home/", "/users/"});

constexpr auto common_names = std::to_array<std::string_view>(
    {"localhost", "(none)", "debian", "fedora", "ubuntu", "linux", "host", "unknown"});

}  // namespace

void TextRedactor::add_host(std::string_view name) {
  if (name.size() < 3 || std::ranges::find(common_names, name) != common_names.end()) return;
  hosts_.emplace(name, name);
  const std::string_view label = name.substr(0, name.find('.'));
  if (label.size() >= 3 && std::ranges::find(common_names, label) == common_names.end())
    hosts_.emplace(label, name);
}

std::string TextRedactor::pseudonym(std::string_view kind, std::string_view thing) {
  auto& names = names_[std::string(kind)];
  const size_t number = names.try_emplace(std::string(thing), names.size() + 1).first->second;
  ++counts_[std::string(kind)];
  return fmt::format("{}-{}", kind, number);
}

std::map<std::string, uint64_t> TextRedactor::counts() const {
  return {counts_.begin(), counts_.end()};
}

std::string TextRedactor::operator()(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t taken = match(text, at, out);
    if (taken != 0) {
      at += taken;
      continue;
    }
    // Things begin where words begin: the rest of this one is passed over at once.
    const size_t rest = word(text[at]) ? std::max<size_t>(1, run(text, at, word)) : 1;
    out += text.substr(at, rest);
    at += rest;
  }
  return out;
}

// Appends what stands for the thing at `at`, and returns its length; 0: there is none.
size_t TextRedactor::match(std::string_view text, size_t at, std::string& out) {
  const auto take = [&](std::string_view kind, size_t length) {
    out += pseudonym(kind, text_of(text.substr(at, length)));
    return length;
  };
  const auto keep_and_take = [&](std::string_view kind, size_t kept, size_t length) -> size_t {
    if (length == 0) return 0;
    out += text.substr(at, kept);
    out += pseudonym(kind, text_of(text.substr(at + kept, length)));
    return kept + length;
  };
  const auto value = [](char c) {
    return c > ' ' && c != '"' && c != '\'' && c != ',' && c != ';' && c != '&';
  };

  for (std::string_view home : home_directories) {
    if (begins_with(text, at, home))
      return keep_and_take("user", home.size(), run(text, at + home.size(), [](char c) {
                             return word(c) || c == '.' || c == '-';
                           }));
  }
  if (begins_with(text, at, "://")) {  // scheme://user:password@host
    const size_t length =
        run(text, at + 3, [](char c) { return c > ' ' && c != '/' && c != '"' && c != '\'' && c != '@'; });
    if (at + 3 + length < text.size() && text[at + 3 + length] == '@')
      return keep_and_take("user", 3, length);
    return 0;
  }
  const bool starts = at == 0 || !(word(text[at - 1]) || text[at - 1] == '.');
  if (!starts && text[at] != ':') return 0;

  if (fixed_form(text, at, "########-####-####-####-############") != 0) return take("uuid", 36);
  if (size_t length = fixed_form(text, at, "##:##:##:##:##:##")) {
    const std::string mac = text_of(text.substr(at, length));
    if (mac == "ff:ff:ff:ff:ff:ff" || mac == "00:00:00:00:00:00") {
      out += text.substr(at, length);
      return length;
    }
    return take("mac", length);
  }
  if (hex(text[at]) || text[at] == ':') {
    const bool after_colon = at != 0 && text[at - 1] == ':' && text[at] != ':';
    const size_t length = run(text, at, [](char c) { return hex(c) || c == ':' || c == '.'; });
    std::string token(text.substr(at, length));
    while (!token.empty() && (token.back() == '.' || (token.back() == ':' && !token.ends_with("::"))))
      token.pop_back();
    const bool ends = at + token.size() == text.size() || !word(text[at + token.size()]);
    in6_addr six;
    in_addr four;
    if (ends && !after_colon && std::ranges::count(token, ':') >= 2 && token.size() >= 6 &&
        inet_pton(AF_INET6, token.c_str(), &six) == 1 && !IN6_IS_ADDR_UNSPECIFIED(&six) &&
        !IN6_IS_ADDR_LOOPBACK(&six))
      return take("ip6", token.size());
    // With its port behind a colon.
    const std::string head = token.substr(0, token.find(':'));
    if (std::ranges::count(head, '.') == 3 && inet_pton(AF_INET, head.c_str(), &four) == 1 &&
        (at + head.size() == text.size() || !word(text[at + head.size()]))) {
      if (!everybodys(four)) return take("ip4", head.size());
      out += head;
      return head.size();
    }
  }
  if (!letter(text[at]) && !digit(text[at]) && text[at] != '_') return 0;

  for (std::string_view mark : serial_words) {
    if (begins_with(text, at, mark))
      return keep_and_take("serial", mark.size(), run(text, at + mark.size(), value));
  }
  // A word with - and . in it: a host's name, an e-mail address, the name of a secret.
  const size_t length = run(text, at, [](char c) { return word(c) || c == '-' || c == '.' || c == '+'; });
  const size_t end = at + length;
  if (end + 1 < text.size() && text[end] == '@' && (letter(text[end + 1]) || digit(text[end + 1]))) {
    const size_t domain = run(text, end + 1, [](char c) { return word(c) || c == '-' || c == '.'; });
    if (text.substr(end + 1, domain).find('.') != std::string_view::npos)
      return take("email", length + 1 + domain);
  }
  if (end + 1 < text.size() && (text[end] == '=' || text[end] == ':')) {
    const std::string name = text_of(text.substr(at, length));
    if (std::ranges::any_of(secret_words, [&](std::string_view secret) { return name.ends_with(secret); })) {
      const size_t blank = text[end] == ':' && text[end + 1] == ' ' ? 1 : 0;
      return keep_and_take("secret", length + 1 + blank, run(text, end + 1 + blank, value));
    }
  }
  for (size_t part : {length, run(text, at, [](char c) { return word(c) || c == '-'; })}) {
    const auto host = hosts_.find(text.substr(at, part));
    if (host == hosts_.end() || (at != 0 && text[at - 1] == '-')) continue;
    out += pseudonym("host", host->second);
    return part;
  }
  return 0;
}

}  // namespace kdk
