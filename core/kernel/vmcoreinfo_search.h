// Opening dumps that have no VMCOREINFO: a hypervisor wrote them and was not told where it is. The kernel
// keeps the note ready in its own memory from boot on, so it is looked for there. Paid for only by such
// dumps: all of their memory is read once.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "core/formats/dump.h"

namespace kdk {

// Opens one dump, again each time it is called.
using DumpOpener = std::function<std::unique_ptr<Dump>(const OpenOptions&)>;

// Opens the dump; when it has no VMCOREINFO, with the one found in its memory. A note counts when the kernel
// it describes is there: its page tables map its _stext where the note says, its release is where the note
// says. Of several such kernels (one that kexec replaced, one in a crash kernel's reservation) the CPUs'
// state decides; where it does not, none is taken. problems() tells what was found and what was not. Throws
// what open() throws.
std::unique_ptr<Dump> open_searching(const DumpOpener& open);

// open_searching() of files, or their dump with the VMCOREINFO in `vmcoreinfo_file` (see vmcoreinfo_text()).
// Throws Error{io,missing,denied,format} also for that file.
std::unique_ptr<Dump> open_kernel_dump(const std::vector<std::filesystem::path>& paths,
                                       const std::optional<std::filesystem::path>& vmcoreinfo_file = {});

}  // namespace kdk
