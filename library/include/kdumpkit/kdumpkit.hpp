// kdumpkit.hpp: libkdumpkit for C++17 and later. Headers only, over the C interface: the C ABI is the one
// that stays stable, and a program needs no C++ library built like ours.
//
//   kdumpkit::Dump dump("vmcore");
//   std::cout << dump.info().release << '\n';
//   for (const kdumpkit::Task& task : dump.tasks()) std::cout << task.pid << ' ' << task.comm << '\n';
//
// What kdumpkit.h says holds here, too. The differences: failures are kdumpkit::Error, absence is
// std::nullopt, results free themselves, and lists are random-access ranges of the structs of the C
// interface.
#ifndef KDUMPKIT_KDUMPKIT_HPP
#define KDUMPKIT_KDUMPKIT_HPP

#include <kdumpkit/kdumpkit.h>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>
#if defined(__has_include) && __has_include(<version>)
#include <version>
#endif
#ifdef __cpp_lib_span
#include <span>
#endif

namespace kdumpkit {

using Info = kdumpkit_info;
using Piece = kdumpkit_piece;
using Step = kdumpkit_step;
using Symbol = kdumpkit_symbol;
using Module = kdumpkit_module;
using Member = kdumpkit_member;
using Record = kdumpkit_record;
using Task = kdumpkit_task;
using Register = kdumpkit_register;
using Frame = kdumpkit_frame;
using Cpu = kdumpkit_cpu;

class Error : public std::runtime_error {
 public:
  // Takes the error, which may be nullptr.
  Error(int code, kdumpkit_error* error)
      : std::runtime_error(error != nullptr ? kdumpkit_error_message(error) : kdumpkit_code_name(code)),
        code_(code) {
    if (error == nullptr) return;
    hint_ = kdumpkit_error_hint(error);
    file_ = kdumpkit_error_file(error);
    std::uint64_t address = 0;
    if (kdumpkit_error_address(error, &address) != 0) address_ = address;
    memory_ = kdumpkit_error_memory(error);
    kdumpkit_error_free(error);
  }
  int code() const noexcept { return code_; }  // enum kdumpkit_code
  const std::string& hint() const noexcept { return hint_; }
  const std::string& file() const noexcept { return file_; }
  std::optional<std::uint64_t> address() const noexcept { return address_; }
  int memory() const noexcept { return memory_; }  // enum kdumpkit_memory

 private:
  int code_;
  std::string hint_, file_;
  std::optional<std::uint64_t> address_;
  int memory_ = KDUMPKIT_MEMORY_OK;
};

// A number of the C interface that is -1 when it is not known.
inline std::optional<std::int64_t> known(std::int64_t value) {
  return value == -1 ? std::nullopt : std::optional<std::int64_t>(value);
}

// Raw text, fit for a terminal or a log.
inline std::string escape(std::string_view text) {
  std::string out(kdumpkit_escape(text.data(), text.size(), nullptr, 0), '\0');
  kdumpkit_escape(text.data(), text.size(), out.data(), out.size() + 1);
  return out;
}

// A list of the C interface, seen as a range: elements are references, valid as long as what they are part
// of.
template <typename Item>
class Items {
 public:
  class iterator {
   public:
    using iterator_category = std::random_access_iterator_tag;
    using value_type = Item;
    using difference_type = std::ptrdiff_t;
    using pointer = const Item*;
    using reference = const Item&;

    iterator() = default;
    explicit iterator(const Item* const* at) : at_(at) {}
    reference operator*() const { return **at_; }
    pointer operator->() const { return *at_; }
    reference operator[](difference_type n) const { return *at_[n]; }
    iterator& operator++() { return ++at_, *this; }
    iterator& operator--() { return --at_, *this; }
    iterator operator++(int) { return iterator(at_++); }
    iterator operator--(int) { return iterator(at_--); }
    iterator& operator+=(difference_type n) { return at_ += n, *this; }
    iterator& operator-=(difference_type n) { return at_ -= n, *this; }
    friend iterator operator+(iterator a, difference_type n) { return a += n; }
    friend iterator operator+(difference_type n, iterator a) { return a += n; }
    friend iterator operator-(iterator a, difference_type n) { return a -= n; }
    friend difference_type operator-(iterator a, iterator b) { return a.at_ - b.at_; }
    friend bool operator==(iterator a, iterator b) { return a.at_ == b.at_; }
    friend bool operator!=(iterator a, iterator b) { return a.at_ != b.at_; }
    friend bool operator<(iterator a, iterator b) { return a.at_ < b.at_; }
    friend bool operator>(iterator a, iterator b) { return b < a; }
    friend bool operator<=(iterator a, iterator b) { return !(b < a); }
    friend bool operator>=(iterator a, iterator b) { return !(a < b); }

   private:
    const Item* const* at_ = nullptr;
  };

  Items(const Item* const* items, std::size_t count) : items_(items), count_(count) {}
  std::size_t size() const { return count_; }
  bool empty() const { return count_ == 0; }
  iterator begin() const { return iterator(items_); }
  iterator end() const { return iterator(items_ + count_); }
  const Item& operator[](std::size_t i) const { return *items_[i]; }

 private:
  const Item* const* items_;
  std::size_t count_;
};

// Of a struct with `count` and `items`: registers, the frames of a CPU's backtrace.
template <typename List>
auto items(const List& list) {
  using Item = std::remove_const_t<
      std::remove_pointer_t<std::remove_cv_t<std::remove_pointer_t<decltype(list.items)>>>>;
  return Items<Item>(list.items, list.count);
}

inline std::vector<std::string_view> strings(const kdumpkit_strings& list) {
  return {list.items, list.items + list.count};
}

// Something that the library made and this frees.
template <typename T, void (*Free)(T*)>
class Result {
 public:
  explicit Result(T* owned) : owned_(owned) {}
  const T& operator*() const { return *owned_; }
  const T* operator->() const { return owned_.get(); }
  const T* get() const { return owned_.get(); }

 private:
  struct Deleter {
    void operator()(T* owned) const { Free(owned); }
  };
  std::unique_ptr<T, Deleter> owned_;
};

// The same where it is a list.
template <typename T, typename Item, void (*Free)(T*)>
class List : public Result<T, Free> {
 public:
  using Result<T, Free>::Result;
  using iterator = typename Items<Item>::iterator;
  std::size_t size() const { return this->get()->count; }
  bool empty() const { return size() == 0; }
  iterator begin() const { return iterator(this->get()->items); }
  iterator end() const { return begin() + static_cast<std::ptrdiff_t>(size()); }
  const Item& operator[](std::size_t i) const { return *this->get()->items[i]; }
};

using System = Result<kdumpkit_system, kdumpkit_system_free>;
using Pieces = List<kdumpkit_pieces, Piece, kdumpkit_pieces_free>;
using Walk = List<kdumpkit_walk, Step, kdumpkit_walk_free>;
using Symbols = List<kdumpkit_symbols, Symbol, kdumpkit_symbols_free>;
using Modules = List<kdumpkit_modules, Module, kdumpkit_modules_free>;
using Log = List<kdumpkit_log, Record, kdumpkit_log_free>;
using Tasks = List<kdumpkit_tasks, Task, kdumpkit_tasks_free>;
using Backtrace = List<kdumpkit_backtrace, Frame, kdumpkit_backtrace_free>;

class Type : public Result<kdumpkit_type, kdumpkit_type_free> {
 public:
  using Result::Result;
  Items<Member> members() const { return {get()->members, get()->member_count}; }
  Items<Member> enumerators() const { return {get()->enumerators, get()->enumerator_count}; }
};

class Crash : public Result<kdumpkit_crash, kdumpkit_crash_free> {
 public:
  using Result::Result;
  Items<Cpu> cpus() const { return {get()->cpus, get()->cpu_count}; }
};

enum class Space : int { kernel = KDUMPKIT_VIRTUAL, physical = KDUMPKIT_PHYSICAL };

struct Options {
  std::string vmcoreinfo_file = {};  // empty: the dump's own
};

struct Translation {
  std::uint64_t physical = 0;
  std::uint64_t contiguous = 0;  // bytes from there on that are translated alike
};

// One dump, for one thread at a time; moves, and does not copy.
class Dump {
 public:
  explicit Dump(const std::string& path, const Options& options = {})
      : Dump(std::vector<std::string>{path}, options) {}
  // All parts of a split set.
  explicit Dump(const std::vector<std::string>& parts, const Options& options = {}) {
    std::vector<const char*> paths;
    for (const std::string& part : parts) paths.push_back(part.c_str());
    const kdumpkit_open_options given = c_options(options);
    handle_ = made<kdumpkit_dump>([&](auto** dump, auto** error) {
      return kdumpkit_dump_open_parts(paths.data(), paths.size(), &given, dump, error);
    });
  }
  // Takes a handle of the C interface.
  explicit Dump(kdumpkit_dump* owned) noexcept : handle_(owned) {}
  static Dump from_bytes(const void* bytes, std::size_t size, const Options& options = {}) {
    const kdumpkit_open_options given = c_options(options);
    return Dump(made<kdumpkit_dump>([&](auto** dump, auto** error) {
      return kdumpkit_dump_open_bytes(bytes, size, &given, dump, error);
    }));
  }
  Dump(Dump&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Dump& operator=(Dump&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Dump() { kdumpkit_dump_close(handle_); }

  kdumpkit_dump* get() const noexcept { return handle_; }
  // For another thread.
  Dump clone() const {
    return Dump(made<kdumpkit_dump>(
        [&](auto** dump, auto** error) { return kdumpkit_dump_clone(handle_, dump, error); }));
  }

  const Info& info() const { return *kdumpkit_dump_info(handle_); }
  System system() { return make<System>(kdumpkit_dump_system); }
  std::optional<std::string_view> vmcoreinfo(const std::string& key) const {
    const char* value = kdumpkit_dump_vmcoreinfo(handle_, key.c_str());
    return value != nullptr ? std::optional<std::string_view>(value) : std::nullopt;
  }

  // All of it, or an Error with address() and memory().
  void read(Space space, std::uint64_t address, void* buffer, std::size_t size) {
    kdumpkit_error* error = nullptr;
    check(kdumpkit_dump_read(handle_, static_cast<int>(space), address, buffer, size, &error), error);
  }
  template <typename T>
  T read(Space space, std::uint64_t address) {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    read(space, address, &value, sizeof value);
    return value;
  }
  // What is there, zeros for what is not, and which is which.
  Pieces read_pieces(Space space, std::uint64_t address, void* buffer, std::size_t size) {
    return make<Pieces>(kdumpkit_dump_read_pieces, static_cast<int>(space), address, buffer, size);
  }
#ifdef __cpp_lib_span
  void read(Space space, std::uint64_t address, std::span<std::byte> buffer) {
    read(space, address, buffer.data(), buffer.size());
  }
  Pieces read_pieces(Space space, std::uint64_t address, std::span<std::byte> buffer) {
    return read_pieces(space, address, buffer.data(), buffer.size());
  }
#endif
  Pieces ram() const {
    return make<Pieces>(kdumpkit_dump_ram);
  }
  int page(std::uint64_t physical) const {
    return kdumpkit_dump_page(handle_, physical);
  }
  std::optional<Translation> translate(std::uint64_t address) {
    Translation out;
    kdumpkit_error* error = nullptr;
    const int code = kdumpkit_dump_translate(handle_, address, &out.physical, &out.contiguous, &error);
    return found(code, error) ? std::optional<Translation>(out) : std::nullopt;
  }
  // Through the kernel's tables, or those whose root is at a physical address.
  Walk walk(std::uint64_t address, std::optional<std::uint64_t> root = std::nullopt) {
    return make<Walk>(kdumpkit_dump_walk, root.value_or(KDUMPKIT_KERNEL_TABLES), address);
  }

  std::optional<Symbol> symbol_at(std::uint64_t address) {
    return find<Symbol>(kdumpkit_dump_symbol_at, address);
  }
  std::optional<Symbol> symbol(const std::string& name) {
    return find<Symbol>(kdumpkit_dump_symbol, name.c_str());
  }
  Symbols symbols() {
    return make<Symbols>(kdumpkit_dump_symbols, static_cast<const char*>(nullptr));
  }
  Symbols symbols(const std::string& name) {
    return make<Symbols>(kdumpkit_dump_symbols, name.c_str());
  }
  Modules modules() {
    return make<Modules>(kdumpkit_dump_modules);
  }

  std::optional<Type> type(const std::string& name) {
    return try_make<Type>(kdumpkit_dump_type, name.c_str());
  }
  // A type with that one member.
  std::optional<Type> member(const std::string& type, const std::string& path) {
    return try_make<Type>(kdumpkit_dump_member, type.c_str(), path.c_str());
  }
  std::optional<std::uint64_t> type_size(const std::string& type) {
    return find<std::uint64_t>(kdumpkit_dump_type_size, type.c_str());
  }
  std::optional<std::uint64_t> member_offset(const std::string& type, const std::string& path) {
    return find<std::uint64_t>(kdumpkit_dump_member_offset, type.c_str(), path.c_str());
  }
  std::optional<std::int64_t> enumerator(const std::string& name) {
    return find<std::int64_t>(kdumpkit_dump_enumerator, name.c_str());
  }

  Log log() {
    return make<Log>(kdumpkit_dump_log);
  }
  Tasks tasks() {
    return make<Tasks>(kdumpkit_dump_tasks);
  }
  // Of a struct task_struct; nullopt: that task has none.
  std::optional<Backtrace> backtrace(std::uint64_t task) {
    return try_make<Backtrace>(kdumpkit_dump_task_backtrace, task);
  }
  Crash crash() {
    return make<Crash>(kdumpkit_dump_crash);
  }

 private:
  static kdumpkit_open_options c_options(const Options& options) {
    kdumpkit_open_options out = KDUMPKIT_OPEN_OPTIONS_INIT;
    if (!options.vmcoreinfo_file.empty()) out.vmcoreinfo_file = options.vmcoreinfo_file.c_str();
    return out;
  }
  // By reference: the call whose code is the first argument sets it.
  static void check(int code, kdumpkit_error*& error) {
    if (code != KDUMPKIT_OK) throw Error(code, error);
  }
  static bool found(int code, kdumpkit_error*& error) {
    if (code == KDUMPKIT_NOT_FOUND) {
      kdumpkit_error_free(error);
      return false;
    }
    check(code, error);
    return true;
  }
  template <typename T, typename Call>
  static T* made(Call&& call) {
    T* result = nullptr;
    kdumpkit_error* error = nullptr;
    check(call(&result, &error), error);
    return result;
  }
  template <typename R>
  using Made = std::remove_const_t<std::remove_pointer_t<decltype(std::declval<R>().get())>>;
  template <typename R, typename Function, typename... Args>
  R make(Function function, Args... args) const {
    return R(made<Made<R>>(
        [&](auto** result, auto** error) { return function(handle_, args..., result, error); }));
  }
  template <typename R, typename Function, typename... Args>
  std::optional<R> try_make(Function function, Args... args) const {
    Made<R>* result = nullptr;
    kdumpkit_error* error = nullptr;
    if (!found(function(handle_, args..., &result, &error), error)) return std::nullopt;
    return R(result);
  }
  template <typename T, typename Function, typename... Args>
  std::optional<T> find(Function function, Args... args) const {
    T result{};
    kdumpkit_error* error = nullptr;
    if (!found(function(handle_, args..., &result, &error), error)) return std::nullopt;
    return result;
  }

  kdumpkit_dump* handle_ = nullptr;
};

}  // namespace kdumpkit

#endif  // KDUMPKIT_KDUMPKIT_HPP
