#include "analyze/triage/redact_objects.h"

namespace kdk {
namespace {

class Pass {
 public:
  Pass(RedactionLevel level, TextRedactor& replace)
      : strict_(level == RedactionLevel::strict), replace_(replace) {}

  void text(std::string& what) { what = replace_(what); }
  // "/" says nothing.
  void path(std::string& what) {
    if (what.empty() || what == "/") return;
    what = strict_ ? replace_.pseudonym("path", what) : replace_(what);
  }
  void task(StackOwner& owner) {
    if (strict_ && !owner.task.kernel_thread && !owner.task.comm.empty())
      owner.task.comm = replace_.pseudonym("task", owner.task.comm);
  }
  // A unix socket has a path or a name that programs made.
  void socket(Socket& socket) {
    const bool named = socket.family == "unix";
    for (std::string* end : {&socket.local, &socket.remote}) {
      if (named) {
        path(*end);
      } else {
        *end = replace_(*end);
      }
    }
  }

 private:
  bool strict_;
  TextRedactor& replace_;
};

}  // namespace

void redact(FileListing& files, RedactionLevel level, TextRedactor& replace) {
  Pass pass(level, replace);
  for (ProcessFiles& process : files.processes) {
    pass.task(process.task);
    pass.path(process.directory);
    pass.path(process.root);
    pass.path(process.program);
    for (OpenFile& file : process.files) {
      // "socket:[4711]" names nothing.
      const bool made = file.kind == "socket" || file.type == "pipefs" || file.type == "anon_inodefs";
      if (!made) pass.path(file.path);
      if (file.socket) pass.socket(*file.socket);
    }
  }
  for (std::string& problem : files.problems) pass.text(problem);
}

void redact(Mounts& mounts, RedactionLevel level, TextRedactor& replace) {
  Pass pass(level, replace);
  if (mounts.task) pass.task(*mounts.task);
  for (Mount& mount : mounts.mounts) {
    pass.text(mount.source);
    pass.path(mount.target);
    pass.path(mount.root);
  }
  for (std::string& problem : mounts.problems) pass.text(problem);
}

void redact(SystemFacts& system, RedactionLevel level, TextRedactor& replace) {
  SystemInfo& id = system.identity;
  for (std::string* text : {&id.hostname, &id.version, &system.panic_message}) *text = replace(*text);
  if (id.command_line.empty()) return;
  id.command_line = level == RedactionLevel::strict ? replace.pseudonym("value", id.command_line)
                                                    : replace(id.command_line);
}

void redact(Network& network, RedactionLevel level, TextRedactor& replace) {
  Pass pass(level, replace);
  for (NetworkNamespace& space : network.namespaces) {
    for (Interface& one : space.interfaces) {
      pass.text(one.hardware_address);
      for (InterfaceAddress& address : one.addresses) pass.text(address.address);
    }
    for (Socket& socket : space.sockets) pass.socket(socket);
  }
  for (std::string& problem : network.problems) pass.text(problem);
}

void redact(InputFacts& input, Evidence& evidence, std::vector<Limit>& limits, TextRedactor& replace) {
  const auto text = [&](std::string& what) { what = replace(what); };
  for (std::string& file : input.files) text(file);
  for (std::string& line : input.erased) text(line);
  text(evidence.vmlinux);
  text(evidence.vmlinux_debug_file);
  for (std::string& file : evidence.vmlinux_tried) text(file);
  for (std::string& why : evidence.vmlinux_refused) text(why);
  for (ModuleDebugFacts& module : evidence.modules) {
    text(module.path);
    for (std::string& why : module.refused) text(why);
  }
  for (Limit& limit : limits) {
    text(limit.detail);
    text(limit.need);
  }
}

}  // namespace kdk
