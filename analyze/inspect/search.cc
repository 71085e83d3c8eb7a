#include "analyze/inspect/search.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <thread>

#include "core/base/bus_error.h"

namespace kdk {
namespace {

// Pages that one thread takes at a time: enough to make the sharing cheap, few enough to end together.
constexpr uint64_t chunk_pages = 8192;

struct Place {
  uint64_t at = 0;
  size_t pattern = 0;
};

// Offsets in `bytes` where a pattern is; `bytes` begins at an aligned address.
template <typename Stored, typename Visit>
void find_values(Bytes bytes, const SearchPattern& pattern, Visit&& visit) {
  constexpr size_t block = 64;
  const size_t count = bytes.size() / sizeof(Stored);
  const Stored wanted = static_cast<Stored>(pattern.value & pattern.mask);
  const Stored mask = static_cast<Stored>(pattern.mask);
  const auto load_at = [&](size_t i) {
    Stored value;
    std::memcpy(&value, bytes.data() + i * sizeof value, sizeof value);
    if constexpr (std::endian::native == std::endian::big) value = byteswap(value);
    return static_cast<Stored>(value & mask);
  };
  size_t i = 0;
  // Most blocks have nothing: one answer for all of it lets the compiler compare many at a time.
  for (; i + block <= count; i += block) {
    bool any = false;
    for (size_t j = 0; j < block; ++j) any |= load_at(i + j) == wanted;
    if (!any) continue;
    for (size_t j = 0; j < block; ++j) {
      if (load_at(i + j) == wanted) visit((i + j) * sizeof(Stored));
    }
  }
  for (; i < count; ++i) {
    if (load_at(i) == wanted) visit(i * sizeof(Stored));
  }
}

template <typename Visit>
void find_bytes(Bytes bytes, const SearchPattern& pattern, Visit&& visit) {
  const uint8_t* at = bytes.data();
  const uint8_t* const end = at + bytes.size();
  while (at < end) {
    const void* found = memmem(at, static_cast<size_t>(end - at), pattern.bytes.data(), pattern.bytes.size());
    if (found == nullptr) return;
    at = static_cast<const uint8_t*>(found);
    visit(static_cast<size_t>(at - bytes.data()));
    ++at;
  }
}

template <typename Visit>
void find(Bytes bytes, const SearchPattern& pattern, Visit&& visit) {
  switch (pattern.unit) {
    case 8:
      return find_values<uint64_t>(bytes, pattern, visit);
    case 4:
      return find_values<uint32_t>(bytes, pattern, visit);
    case 2:
      return find_values<uint16_t>(bytes, pattern, visit);
    case 1:
      return find_values<uint8_t>(bytes, pattern, visit);
    default:
      return find_bytes(bytes, pattern, visit);
  }
}

// How many bytes of the page before a match may begin in.
size_t overlap_of(const SearchRequest& request) {
  size_t longest = 1;
  for (const SearchPattern& pattern : request.patterns) longest = std::max(longest, pattern.bytes.size());
  return longest - 1;
}

struct Chunk {
  PfnRange range;
  std::vector<Place> places;
  uint64_t total = 0;
};

// One thread's eyes: a page with the end of the page before it.
class Scanner {
 public:
  Scanner(const Dump& dump, const SearchRequest& request)
      : request_(request),
        reader_(dump.reader()),
        page_size_(dump.info().page_size),
        overlap_(std::min<size_t>(overlap_of(request), page_size_)),
        buffer_(overlap_ + page_size_) {}

  uint64_t searched = 0, absent = 0, unreadable = 0;

  void scan(Chunk& chunk) {
    carried_ = false;
    // A match may begin in the last page of the chunk before.
    if (overlap_ > 0 && chunk.range.begin.value > 0) load({chunk.range.begin.value - 1});
    for (Pfn pfn = chunk.range.begin; pfn < chunk.range.end; pfn = pfn + 1) scan_page(pfn, chunk);
  }

 private:
  // The page into the buffer, behind the end of the one before.
  PageState load(Pfn pfn) {
    uint8_t* const page = buffer_.data() + overlap_;
    if (carried_ && overlap_ > 0) std::memmove(buffer_.data(), page + page_size_ - overlap_, overlap_);
    const bool joined = carried_;
    const PageView view = reader_->page(pfn);
    carried_ = view.state == PageState::present;
    if (!carried_) return view.state;
    const uint8_t* const from = view.bytes.data();
    const size_t n = page_size_;
    if (!touch_guarded([=] { std::memcpy(page, from, n); })) {
      carried_ = false;
      return PageState::unreadable;
    }
    joined_ = joined;
    return PageState::present;
  }

  void scan_page(Pfn pfn, Chunk& chunk) {
    switch (load(pfn)) {
      case PageState::present:
        break;
      case PageState::unreadable:
        ++unreadable;
        return;
      default:
        ++absent;
        return;
    }
    ++searched;
    const uint64_t start = pfn.value * page_size_;
    for (size_t i = 0; i < request_.patterns.size(); ++i) {
      const SearchPattern& pattern = request_.patterns[i];
      // Of bytes, those that began in the page before and end here.
      const size_t before =
          pattern.unit == 0 && joined_ ? std::min(pattern.bytes.size() - 1, overlap_) : size_t{0};
      const Bytes bytes = Bytes(buffer_).subspan(overlap_ - before);
      find(bytes, pattern, [&](size_t offset) {
        ++chunk.total;
        if (chunk.places.size() < request_.limit) chunk.places.push_back({start + offset - before, i});
      });
    }
  }

  const SearchRequest& request_;
  std::unique_ptr<PageReader> reader_;
  const size_t page_size_, overlap_;
  std::vector<uint8_t> buffer_;
  bool carried_ = false;  // the buffer holds the page before
  bool joined_ = false;   // and what is in front of this page is its end
};

void search_pages(Kernel& kernel, SearchResult& result, std::vector<Place>& places) {
  const Dump& dump = kernel.dump();
  std::vector<Chunk> chunks;
  for (const PfnRange& range : dump.ram()) {
    for (Pfn first = range.begin; first < range.end; first = first + chunk_pages)
      chunks.push_back({{first, std::min(range.end, first + chunk_pages)}, {}, 0});
  }
  std::atomic<size_t> next = 0;
  std::atomic<uint64_t> searched = 0, absent = 0, unreadable = 0;
  std::vector<std::exception_ptr> errors(result.request.threads);
  const auto work = [&](std::exception_ptr& error) {
    try {
      Scanner scanner(dump, result.request);
      for (size_t i; (i = next++) < chunks.size();) scanner.scan(chunks[i]);
      searched += scanner.searched;
      absent += scanner.absent;
      unreadable += scanner.unreadable;
    } catch (...) {
      error = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> threads;
    for (unsigned i = 1; i < result.request.threads; ++i) threads.emplace_back([&, i] { work(errors[i]); });
    work(errors[0]);
  }
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
  result.pages_searched = searched;
  result.pages_absent = absent;
  result.pages_unreadable = unreadable;
  for (const Chunk& chunk : chunks) {
    result.total += chunk.total;
    for (const Place& place : chunk.places) {
      if (places.size() < result.request.limit) places.push_back(place);
    }
  }
  std::ranges::stable_sort(places, {}, &Place::at);
}

// Stacks by their virtual addresses: they are where the task used them.
void search_stacks(Kernel& kernel, OwnerFinder& owners, SearchResult& result) {
  KernelMemory& memory = kernel.memory();
  const uint64_t page_size = memory.page_size();
  std::vector<uint8_t> page(page_size);
  for (const OwnerFinder::TaskStack& stack : owners.task_stacks()) {
    for (uint64_t at = stack.low; at < stack.high;) {
      const uint64_t n = std::min(stack.high - at, page_size - at % page_size);
      const MutableBytes part = MutableBytes(page).first(n);
      const ReadResult read = memory.read(VirtAddr{at}, part);
      if (!read) {
        ++(read.status == ReadStatus::unreadable ? result.pages_unreadable : result.pages_absent);
        at += n;
        continue;
      }
      ++result.pages_searched;
      for (size_t i = 0; i < result.request.patterns.size(); ++i) {
        find(part, result.request.patterns[i], [&](size_t offset) {
          ++result.total;
          if (result.hits.size() >= result.request.limit) return;
          SearchHit hit;
          hit.pattern = i;
          hit.used_as = at + offset;
          hit.value = load<ul64>(part, offset).value_or(0);
          if (const Translation found = memory.translate({at + offset})) hit.physical = found.pa.value;
          hit.owner.kind = Owner::Kind::stack;
          hit.owner.address = at + offset;
          hit.owner.name = stack.comm;
          hit.owner.pid = stack.pid;
          hit.owner.start = stack.low;
          hit.owner.size = stack.high - stack.low;
          hit.owner.object = stack.task;
          result.hits.push_back(std::move(hit));
        });
      }
      at += n;
    }
  }
}

}  // namespace

SearchResult search_memory(Kernel& kernel, OwnerFinder& owners, SearchRequest request) {
  SearchResult result;
  result.request = std::move(request);
  SearchRequest& r = result.request;
  r.limit = std::min(r.limit, most_search_hits);
  r.threads = std::clamp(r.threads, 1u, 64u);
  // What cannot be found is no pattern: it would match everywhere.
  std::erase_if(r.patterns, [](const SearchPattern& p) { return p.unit == 0 && p.bytes.empty(); });
  if (r.stacks) {
    search_stacks(kernel, owners, result);
    return result;
  }
  std::vector<Place> places;
  search_pages(kernel, result, places);
  for (const Place& place : places) {
    SearchHit hit;
    hit.pattern = place.pattern;
    hit.physical = place.at;
    ul64 value{};
    if (kernel.memory().read(PhysAddr{place.at}, {reinterpret_cast<uint8_t*>(&value), sizeof value}))
      hit.value = value;
    if (const auto linear = owners.linear({place.at})) hit.linear = linear->value;
    if (const auto used = owners.used_as({place.at})) {
      hit.used_as = used->value;
      hit.owner = owners.find(*used);
    } else {
      hit.owner.page = owners.page({place.at / kernel.memory().page_size()});
    }
    result.hits.push_back(std::move(hit));
  }
  return result;
}

}  // namespace kdk
