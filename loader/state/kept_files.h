// Copies of the files behind the loaded image, in /var/lib/kdumpkit/armed/.
//
// The kernel frees the loaded image before it looks at the next one, and does not give its bytes back. When
// the next one is refused, the old one can be put back only if its files are still to be had; but what makes
// people load again is just that they were replaced (a new kernel package, a rebuilt initramfs). So `load`
// keeps a copy. On disk, not in /run: memory is worth more than disk space. Named by content, so loading the
// same files again writes nothing.
#pragma once

#include <optional>
#include <string>

#include "loader/state/record.h"

namespace kdk {

inline constexpr std::string_view kept_files_path = "/var/lib/kdumpkit/armed";

// Keeps the kernel and the initramfs of `load`, with their security.ima, readable by root alone, and removes
// whatever else is there. Throws Error{io,denied}: the caller has loaded successfully and should only warn.
void keep_files(const SysRoot& root, const PreparedLoad& load);
void remove_kept_files(const SysRoot& root);

// The recorded request with paths that hold the recorded contents: the original where it is unchanged, else
// the copy. Throws Error{missing} when a content is nowhere, or the record has no request.
LoadRequest find_recorded_files(const SysRoot& root, const LoadRecord& record);

// True when the file at `path` has exactly this content. Throws Error when it exists and cannot be read.
bool has_content(const std::string& path, const InputIdentity& identity);

}  // namespace kdk
