// A directory on a server, through an ssh client: any that takes a command to run there as its last argument.
#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "capture/run/stream_place.h"
#include "core/base/error.h"

namespace kdk {
namespace {

// The client with its standard input; what it and the server say is kept for the error.
class Client {
 public:
  Client(const RunTarget& target, const std::string& script) : name_("ssh " + target.server) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw error_from_errno(errno, "pipe");
    const Fd read_end(ends[0]);
    input_ = Fd(ends[1]);
    said_ = Fd(::memfd_create("ssh", MFD_CLOEXEC));
    if (!said_) throw error_from_errno(errno, "memfd_create");
    std::vector<std::string> words = target.command;
    words.push_back(target.server);
    words.push_back(script);
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, read_end.get(), STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, said_.get(), STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, said_.get(), STDERR_FILENO);
    const int error = ::posix_spawnp(&pid_, arguments[0], &actions, nullptr, arguments.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
      pid_ = -1;
      throw error_from_errno(error, words.front());
    }
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() {
    input_.reset();
    if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
  }

  void write(Bytes data) {
    try {
      write_all(input_, data, name_);
    } catch (const Error&) {
      finish();  // its own words say more than "broken pipe"
      throw;
    }
  }

  // Throws Error{io} unless all went well over there.
  void finish() {
    input_.reset();
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) continue;
    pid_ = -1;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
    throw Error(Errc::io, fmt::format("{}: {}", name_, last_words(status)));
  }

 private:
  std::string last_words(int status) const {
    std::string text;
    try {
      ::lseek(said_.get(), 0, SEEK_SET);
      const std::vector<uint8_t> all = read_file(said_, name_, 1 << 20);
      text = as_text(all);
    } catch (const Error& e) {
      text = e.message();
    }
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
    text = text.substr(text.rfind('\n') + 1);
    if (!text.empty()) return text;
    return WIFEXITED(status) ? fmt::format("exit status {}", WEXITSTATUS(status))
                             : fmt::format("killed by signal {}", WTERMSIG(status));
  }

  const std::string name_;
  Fd input_, said_;
  pid_t pid_ = -1;
};

class SshPlace : public StreamPlace {
 public:
  explicit SshPlace(const RunTarget& target) : target_(target) {}

  // The names have no quotes in them: see read_ssh() and dump_name().
  void prepare(const std::string& name) override {
    name_ = name;
    directory_ = (target_.path / (name + ".partial")).string();
    // The network may need a moment to come up.
    const auto end = std::chrono::steady_clock::now() + target_.wait;
    for (;;) {
      try {
        run(fmt::format("umask 077 && mkdir -p '{}'", directory_), {});
        return;
      } catch (const Error&) {
        if (std::chrono::steady_clock::now() >= end) throw;
      }
      ::sleep(1);
    }
  }

  std::string finish(bool whole, const std::function<void(uint64_t)>&) override {
    const std::string text = sums_text(sums);
    put_file("SHA256SUMS", as_bytes(text));
    const std::string final_name = whole ? name_ : name_ + ".incomplete";
    // A cut stream has no right name for its sum.
    const std::string check =
        whole ? "{ ! command -v sha256sum >/dev/null || sha256sum -c SHA256SUMS >/dev/null; } && " : "";
    run(fmt::format("cd '{}' && {}{{ sync; true; }} && cd .. && mv '{}.partial' '{}'", directory_, check,
                    name_, final_name),
        {});
    return fmt::format("{}:{}", target_.server, (target_.path / final_name).string());
  }

 protected:
  void put_file(std::string_view file, Bytes content) override {
    run(fmt::format("umask 077 && cd '{0}' && cat >'{1}.part' && mv -f '{1}.part' '{1}'", directory_, file),
        content);
  }
  void begin_stream() override {
    client_ =
        std::make_unique<Client>(target_, fmt::format("umask 077 && cat >'{}/{}'", directory_, stream_file));
  }
  void write(Bytes data) override { client_->write(data); }
  void end_stream() override { client_->finish(); }

 private:
  void run(const std::string& script, Bytes input) {
    Client client(target_, script);
    if (!input.empty()) client.write(input);
    client.finish();
  }

  const RunTarget target_;
  std::string name_, directory_;
  std::unique_ptr<Client> client_;
};

}  // namespace

std::unique_ptr<Place> make_ssh_place(const RunTarget& target) {
  return std::make_unique<SshPlace>(target);
}

}  // namespace kdk
