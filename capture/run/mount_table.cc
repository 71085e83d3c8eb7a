#include "capture/run/mount_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "core/base/error.h"

namespace kdk {
namespace {

namespace fs = std::filesystem;

// Space, tab, newline and backslash are written as \ and three octal digits.
std::string unescape(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    auto octal = [&](size_t at) { return at < text.size() && text[at] >= '0' && text[at] <= '7'; };
    if (text[i] == '\\' && octal(i + 1) && octal(i + 2) && octal(i + 3)) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

bool is_below(const fs::path& path, const fs::path& directory) {
  const auto [end, rest] = std::mismatch(directory.begin(), directory.end(), path.begin(), path.end());
  return end == directory.end() ||
         (std::next(end) == directory.end() && end->empty());  // "/" ends in an empty part
}

}  // namespace

std::vector<Mount> parse_mounts(std::string_view text) {
  std::vector<Mount> out;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream in(line);
    std::string id, parent, inside, point, word;
    Mount mount;
    in >> id >> parent >> mount.number >> inside >> point;
    while (in >> word && word != "-") continue;  // options, and any number of optional fields
    in >> mount.type >> mount.source;
    if (!in) throw Error(Errc::format, fmt::format("mountinfo: \"{}\" is no line of it", line));
    mount.inside = unescape(inside);
    mount.point = unescape(point);
    mount.source = unescape(mount.source);
    out.push_back(std::move(mount));
  }
  return out;
}

const Mount& mount_of(const std::vector<Mount>& mounts, const fs::path& path) {
  const fs::path normal = path.lexically_normal();
  const Mount* best = nullptr;
  for (const Mount& mount : mounts) {
    if (!is_below(normal, mount.point)) continue;
    if (best == nullptr || mount.point.string().size() >= best->point.string().size()) best = &mount;
  }
  if (best == nullptr) throw Error(Errc::missing, fmt::format("{}: no mount holds it", path.string()));
  return *best;
}

fs::path path_inside(const Mount& mount, const fs::path& path) {
  const fs::path below = path.lexically_normal().lexically_relative(mount.point);
  fs::path out = (mount.inside / below).lexically_normal().relative_path();
  if (!out.has_filename()) out = out.parent_path();  // "var/crash/"
  return out.empty() ? fs::path(".") : out;
}

}  // namespace kdk
