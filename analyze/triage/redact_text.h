// Takes out of text what identifies people and machines, and puts a name in its place that is the same
// wherever the same thing stood: "mac-1" is one network card throughout a report.
//
// What is looked for is told by its form: MAC, IPv4 and IPv6 addresses (not the unspecified, loopback and
// broadcast ones), e-mail addresses, UUIDs, user names in URLs and in paths of home directories, values of
// words like password=, serial numbers where the text calls them so; and the names of hosts that were given.
// Form is all there is: a version of four numbers looks like an address, and goes.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace kdk {

class TextRedactor {
 public:
  // A name to be taken out wherever it stands as a word, and its first label. Names of fewer than 3 letters,
  // and those that many machines have ("localhost", "(none)"), stay.
  void add_host(std::string_view name);

  // `text` without all that. Bytes that are not ASCII stay as they are.
  std::string operator()(std::string_view text);

  // The name for one thing of a kind ("host", "task"), counted.
  std::string pseudonym(std::string_view kind, std::string_view thing);

  // How many things of each kind were replaced.
  std::map<std::string, uint64_t> counts() const;

 private:
  size_t match(std::string_view text, size_t at, std::string& out);

  std::map<std::string, std::map<std::string, size_t, std::less<>>, std::less<>> names_;
  std::map<std::string, uint64_t, std::less<>> counts_;
  std::map<std::string, std::string, std::less<>> hosts_;  // word -> host it stands for
};

}  // namespace kdk
