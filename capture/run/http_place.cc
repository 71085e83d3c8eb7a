// Web servers that know PUT (WebDAV, artefact stores) and S3-compatible object stores, through libcurl.
//
// An object's size must be known before it is sent, and a dump's is not. So the stream goes out in parts of a
// fixed size, each an object of its own: vmcore.flat.00000, .00001 ...; `cat vmcore.flat.*` is the stream. A
// part is kept in memory until the server has it, which makes resuming simple: after a failure only that part
// is sent again. SHA256SUMS comes last and marks the dump as whole.
#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <thread>

#include "capture/run/stream_place.h"
#include "core/base/error.h"
#include "core/base/file.h"

namespace kdk {
namespace {

// The answer's text is only of interest in errors.
size_t keep_answer(char* data, size_t size, size_t count, void* answer) {
  std::string& text = *static_cast<std::string*>(answer);
  constexpr size_t enough = 512;
  text.append(data, std::min(size * count, enough - std::min(enough, text.size())));
  return size * count;
}

struct Reply {
  CURLcode code = CURLE_OK;
  long status = 0;  // of HTTP
  std::string text;

  bool good() const { return code == CURLE_OK && status >= 200 && status < 300; }
  // Whether the same request may succeed later.
  bool passing() const {
    if (code != CURLE_OK) {
      return code != CURLE_URL_MALFORMAT && code != CURLE_UNSUPPORTED_PROTOCOL &&
             code != CURLE_PEER_FAILED_VERIFICATION && code != CURLE_SSL_CACERT_BADFILE;
    }
    return status == 408 || status == 425 || status == 429 || (status >= 500 && status != 507);
  }
  std::string describe() const {
    if (code != CURLE_OK) return ::curl_easy_strerror(code);
    std::string first = text.substr(0, text.find('\n'));
    return fmt::format("status {}{}{}", status, first.empty() ? "" : ": ", first);
  }
};

class HttpPlace : public StreamPlace {
 public:
  explicit HttpPlace(const RunTarget& target)
      : target_(target), curl_(::curl_easy_init(), &::curl_easy_cleanup) {
    if (!curl_) throw Error(Errc::io, "libcurl cannot be started");
  }

  void prepare(const std::string& name) override {
    base_ = target_.url + name + "/";
    if (target_.credentials) {
      credentials_ = read_text_file(*target_.credentials, 4096);
      while (!credentials_.empty() && credentials_.back() == '\n') credentials_.pop_back();
      if (credentials_.find(':') == std::string::npos) {
        throw Error(Errc::format, target_.credentials->string() + ": is not USER:SECRET");
      }
    }
    part_.reserve(target_.part_bytes);
    // A WebDAV server wants its folders made; others do not know the word, and that is fine with us.
    const Reply reply = retried([&] { return request("MKCOL", base_, {}); });
    if (reply.code != CURLE_OK || reply.status == 401)
      throw Error(reply.status == 401 ? Errc::denied : Errc::io,
                  fmt::format("{}: {}", base_, reply.describe()));
  }

  std::string finish(bool whole, const std::function<void(uint64_t)>&) override {
    const std::string text = sums_text(sums);
    put_file(whole ? "SHA256SUMS" : "SHA256SUMS.incomplete", as_bytes(text));
    return base_;
  }

  bool took_data() const override { return parts_ != 0; }

 protected:
  std::string_view stream_name() const override { return {}; }

  void put_file(std::string_view file, Bytes content) override {
    const std::string url = base_ + std::string(file);
    const Reply reply = retried([&] { return request("PUT", url, content); });
    if (!reply.good()) throw Error(Errc::io, fmt::format("{}: {}", url, reply.describe()));
  }

  void begin_stream() override {}

  void write(Bytes data) override {
    while (!data.empty()) {
      const size_t take = std::min<size_t>(data.size(), target_.part_bytes - part_.size());
      part_.insert(part_.end(), data.begin(), data.begin() + static_cast<std::ptrdiff_t>(take));
      data = data.subspan(take);
      if (part_.size() == target_.part_bytes) send_part();
    }
  }

  void end_stream() override {
    if (!part_.empty()) send_part();
  }

 private:
  void send_part() {
    put_summed(fmt::format("{}.{:05}", stream_file, parts_), part_);
    ++parts_;
    part_.clear();
  }

  template <typename F>
  Reply retried(F&& send) {
    std::chrono::milliseconds pause(500);
    for (unsigned tries = 1;; ++tries) {
      const Reply reply = send();
      if (reply.good() || !reply.passing() || tries >= target_.tries) return reply;
      std::this_thread::sleep_for(pause);
      pause = std::min<std::chrono::milliseconds>(pause * 2, std::chrono::seconds(15));
    }
  }

  Reply request(const char* method, const std::string& url, Bytes content) {
    CURL* curl = curl_.get();
    ::curl_easy_reset(curl);  // keeps the connection
    Reply reply;
    const bool s3 = !target_.s3_region.empty();
    if (s3 && std::string_view(method) == "MKCOL") return {CURLE_OK, 200, ""};  // it has no folders
    const std::string sum = sha256_hex(content);
    std::unique_ptr<curl_slist, decltype(&::curl_slist_free_all)> headers(nullptr, &::curl_slist_free_all);
    const auto add = [&](const std::string& line) {
      curl_slist* longer = ::curl_slist_append(headers.get(), line.c_str());
      if (longer == nullptr) throw std::bad_alloc();
      (void)headers.release();
      headers.reset(longer);
    };
    // Without waiting to be asked for the content. Not for S3: libcurl would sign the header it then leaves
    // out.
    if (!s3) add("Expect:");
    add("Content-Type: application/octet-stream");
    // The server checks the one; artefact stores check the other.
    add((s3 ? "x-amz-content-sha256: " : "X-Checksum-Sha256: ") + sum);
    ::curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
    ::curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    if (std::string_view(method) == "PUT") {
      ::curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(content.size()));
      ::curl_easy_setopt(curl, CURLOPT_POSTFIELDS, content.empty() ? "" : as_text(content).data());
    }
    ::curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
    ::curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    ::curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 20L);
    ::curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    ::curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, 60L);
    ::curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &keep_answer);
    ::curl_easy_setopt(curl, CURLOPT_WRITEDATA, &reply.text);
    if (!credentials_.empty()) ::curl_easy_setopt(curl, CURLOPT_USERPWD, credentials_.c_str());
    const std::string signing = "aws:amz:" + target_.s3_region + ":s3";
    if (s3) ::curl_easy_setopt(curl, CURLOPT_AWS_SIGV4, signing.c_str());
    if (target_.authority) ::curl_easy_setopt(curl, CURLOPT_CAINFO, target_.authority->c_str());
    reply.code = ::curl_easy_perform(curl);
    ::curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &reply.status);
    return reply;
  }

  const RunTarget target_;
  const std::unique_ptr<CURL, decltype(&::curl_easy_cleanup)> curl_;
  std::string base_, credentials_;
  std::vector<uint8_t> part_;
  unsigned parts_ = 0;
};

}  // namespace

std::unique_ptr<Place> make_http_place(const RunTarget& target) {
  return std::make_unique<HttpPlace>(target);
}

}  // namespace kdk
