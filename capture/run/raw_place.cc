#include "capture/run/raw_place.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "capture/output/pipeline.h"
#include "capture/run/devices.h"
#include "capture/run/stream_place.h"
#include "core/formats/dump_output.h"

namespace kdk {
namespace {

constexpr std::string_view plain_stream = "vmcore.flat", sealed_stream = "vmcore.sealed";

uint64_t round_up(uint64_t value) {
  constexpr uint64_t mib = 1 << 20;
  return (value + mib - 1) / mib * mib;
}

// nullopt: a blank device. Throws Error{denied} when it holds something else.
std::optional<RawHeader> look_at(const Fd& fd, const std::string& name) {
  std::vector<uint8_t> start(1 << 20);
  start.resize(read_at(fd, 0, start, name));
  start.resize(start.size() / 64 * 64);
  if (start.size() < raw_header_bytes) throw Error(Errc::unsupported, name + ": is too small");
  if (std::optional<RawHeader> header = decode_raw_header(start)) return header;
  if (is_zero_page(start)) return std::nullopt;
  throw Error(Errc::denied, name + ": holds something that is no dump")
      .with_hint("`kdump-capture claim --force` gives it to dumps; what it holds is lost");
}

class RawPlace : public StreamPlace {
 public:
  explicit RawPlace(const RunTarget& target) : target_(target) {}

  void prepare(const std::string& name) override {
    const std::filesystem::path device = find_device(target_.device, target_.wait);
    name_ = device.string();
    fd_ = Fd::open(device, O_RDWR | O_EXCL);  // fails when it is mounted
    std::optional<RawHeader> old;
    try {
      old = look_at(fd_, name_);
    } catch (const Error& e) {
      if (e.code() != Errc::format) throw;  // a damaged header of ours is ours to replace
    }
    if (old && old->state != RawState::empty) {
      notes.push_back(fmt::format("{}: the dump {}, which nobody fetched, is replaced", name_, old->name));
    }
    header_.state = RawState::writing;
    header_.name = name;
    write_header();
  }

  std::string finish(bool whole, const std::function<void(uint64_t)>&) override {
    const std::string text = sums_text(sums);
    put_file("SHA256SUMS", as_bytes(text));
    header_.state = whole ? RawState::whole : RawState::cut;
    write_header();
    return fmt::format("{} {}", name_, header_.name);
  }

 protected:
  void put_file(std::string_view file, Bytes content) override {
    RawFile* entry = header_.find(file);
    if (entry != nullptr && entry->room < content.size()) {
      throw Error(Errc::io, fmt::format("{}: {} has outgrown its room", name_, file));
    }
    if (entry == nullptr) {
      if (streaming_) throw Error(Errc::io, fmt::format("{}: no room for {} behind the dump", name_, file));
      // Twice the size: the summary is written again when it knows more. What comes after the dump lies
      // behind it.
      entry = &add_entry(file, round_up(2 * content.size() + 1));
    }
    write_at(fd_, entry->offset, content, name_);
    entry->size = content.size();
    Sha256 sum;
    sum.add(content);
    entry->sum = sum.digest();
    write_header();
  }

  void begin_stream() override {
    add_entry(stream_file, 0);
    streaming_ = true;
    output_.emplace(fd_, name_, true);
  }

  void write(Bytes data) override {
    output_->write(end_, data);
    end_ += data.size();
    constexpr uint64_t between_headers = 64 << 20;
    if (end_ - header_end_ < between_headers) return;
    stream_entry();
    write_header();
  }

  void end_stream() override {
    stream_entry();
    write_header();
    streaming_ = false;
  }

 private:
  RawFile& add_entry(std::string_view file, uint64_t room) {
    end_ = round_up(std::max<uint64_t>(end_, raw_header_bytes));
    header_.files.push_back({std::string(file), end_, 0, room, {}});
    end_ += room;
    return header_.files.back();
  }

  void stream_entry() {
    RawFile& entry = *header_.find(stream_file);
    entry.size = end_ - entry.offset;
    entry.sum = stream_sum.digest();
    header_end_ = end_;
  }

  // The data first, then what says that it is there.
  void write_header() {
    if (::fdatasync(fd_.get()) != 0) throw error_from_errno(errno, name_);
    write_at(fd_, 0, encode(header_), name_);
    if (::fdatasync(fd_.get()) != 0) throw error_from_errno(errno, name_);
  }

  const RunTarget target_;
  std::string name_;
  Fd fd_;
  std::optional<FileOutput> output_;
  RawHeader header_;
  uint64_t end_ = 0, header_end_ = 0;  // of what is written; of what the last header knows
  bool streaming_ = false;
};

void fetch_file(const Fd& fd, const RawFile& file, const std::filesystem::path& directory,
                const std::string& name) {
  constexpr uint64_t largest = 256 << 20;
  if (file.size > largest) throw Error(Errc::format, fmt::format("{}: {} is too large", name, file.name));
  std::vector<uint8_t> content(file.size);
  if (read_at(fd, file.offset, content, name) != content.size()) {
    throw Error(Errc::format, fmt::format("{}: {} is cut", name, file.name));
  }
  write_file_atomic(directory / file.name, content, 0600);
  Sha256 sum;
  sum.add(content);
  if (sum.digest() != file.sum) {
    throw Error(Errc::format,
                fmt::format("{}: {} has another sum than when it was written", name, file.name));
  }
}

void fetch_stream(const Fd& fd, const RawHeader& header, const RawFile& file, Fetched& fetched,
                  const std::string& name, const std::atomic<bool>& stop) {
  Sha256 sum;
  uint64_t done = 0;
  const auto read = [&](MutableBytes out) -> size_t {
    if (stop) return 0;
    const size_t want = static_cast<size_t>(std::min<uint64_t>(out.size(), file.size - done));
    const size_t n = read_at(fd, file.offset + done, out.first(want), name);
    sum.add(out.first(n));
    done += n;
    return n;
  };
  const Reassembled dump = reassemble_stream(read, name, fetched.directory / "vmcore", stop);
  for (const std::string& reason : dump.reasons) fetched.reasons.push_back(reason);
  // The end mark is where the reader stops; the sum is over all.
  std::vector<uint8_t> rest(64 << 10);
  while (!stop && read(rest) != 0) continue;
  if (header.state == RawState::whole && sum.digest() != file.sum) {
    fetched.reasons.push_back(name + ": the dump has another sum than when it was written");
  }
}

// As it is: only who has the secret key can make a dump of it.
void fetch_sealed(const Fd& fd, const RawHeader& header, const RawFile& file, Fetched& fetched,
                  const std::string& name, const std::atomic<bool>& stop) {
  AtomicFile out(fetched.directory / file.name);
  Sha256 sum;
  std::vector<uint8_t> buffer(1 << 20);
  uint64_t done = 0;
  while (!stop && done < file.size) {
    const MutableBytes part = MutableBytes(buffer).first(std::min<uint64_t>(buffer.size(), file.size - done));
    const size_t n = read_at(fd, file.offset + done, part, name);
    if (n == 0) break;
    write_at(out.fd(), done, part.first(n), out.temporary_path().string());
    sum.add(part.first(n));
    done += n;
  }
  out.commit();
  if (!stop && header.state == RawState::whole && sum.digest() != file.sum)
    fetched.reasons.push_back(name + ": the dump has another sum than when it was written");
}

// Of what is in the directory now: the dump on the device was a stream.
void write_sums(const std::filesystem::path& directory) {
  std::map<std::string, std::string, std::less<>> sums;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    const std::string file = entry.path().filename().string();
    if (file == "SHA256SUMS") continue;
    const MappedFile content = MappedFile::open(entry.path());
    sums[file] = sha256_hex(content.bytes());
  }
  const std::string text = sums_text(sums);
  write_file_atomic(directory / "SHA256SUMS", as_bytes(text), 0600);
}

}  // namespace

std::unique_ptr<Place> make_raw_place(const RunTarget& target) {
  return std::make_unique<RawPlace>(target);
}

void claim_raw(const std::filesystem::path& device, bool force) {
  const Fd fd = Fd::open(device, O_RDWR | O_EXCL);
  const std::string name = device.string();
  if (!force) {
    const std::optional<RawHeader> old = look_at(fd, name);
    if (old && old->state != RawState::empty) {
      throw Error(Errc::denied, fmt::format("{}: holds the dump {}", name, old->name))
          .with_hint("`kdump-capture fetch` gets it; --force forgets it");
    }
  }
  write_at(fd, 0, encode(RawHeader{}), name);
  if (::fsync(fd.get()) != 0) throw error_from_errno(errno, name);
}

std::optional<Fetched> fetch_raw(const std::filesystem::path& device, const std::filesystem::path& parent,
                                 bool clear, const std::atomic<bool>& stop) {
  const std::string name = device.string();
  const Fd fd = Fd::open(device, clear ? O_RDWR | O_EXCL : O_RDONLY);
  std::array<uint8_t, raw_header_bytes> block{};
  if (read_at(fd, 0, block, name) != block.size()) throw Error(Errc::format, name + ": is too small");
  std::optional<RawHeader> header;
  with_context(name, [&] { header = decode_raw_header(block); });
  if (!header) throw Error(Errc::format, name + ": is no place for dumps");
  if (header->state == RawState::empty) return std::nullopt;
  Fetched fetched;
  if (header->state != RawState::whole) {
    fetched.reasons.push_back(name + (header->state == RawState::cut
                                          ? ": the dump was cut when it was written"
                                          : ": the dump was never finished"));
  }
  std::filesystem::create_directories(parent);
  fetched.directory = parent / header->name;
  if (!std::filesystem::create_directory(fetched.directory)) {
    throw Error(Errc::denied, fetched.directory.string() + ": already exists")
        .with_hint("it may have been fetched before; --clear then forgets it");
  }
  std::filesystem::permissions(fetched.directory, std::filesystem::perms::owner_all);
  size_t copied = 0;
  for (const RawFile& file : header->files) {
    if (file.name == "SHA256SUMS") continue;
    try {
      if (file.name == plain_stream) {
        fetch_stream(fd, *header, file, fetched, name, stop);
      } else if (file.name == sealed_stream) {
        fetch_sealed(fd, *header, file, fetched, name, stop);
      } else {
        fetch_file(fd, file, fetched.directory, name);
      }
      ++copied;
    } catch (const Error& e) {
      fetched.reasons.push_back(e.message());
    }
  }
  if (copied == 0) {
    std::filesystem::remove_all(fetched.directory);
    throw Error(Errc::format, fetched.reasons.back());
  }
  write_sums(fetched.directory);
  if (stop) fetched.reasons.push_back("interrupted");
  if (clear && !stop) {
    write_at(fd, 0, encode(RawHeader{}), name);
    if (::fsync(fd.get()) != 0) throw error_from_errno(errno, name);
  }
  return fetched;
}

}  // namespace kdk
