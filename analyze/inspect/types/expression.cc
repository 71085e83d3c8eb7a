// Evaluated while it is parsed: an expression is short, and what it means depends on what its names are.
#include "analyze/inspect/types/expression.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>

#include "analyze/inspect/types/operations.h"
#include "analyze/inspect/types/tokens.h"
#include "analyze/inspect/types/walks.h"
#include "core/base/error.h"
#include "core/base/log.h"
#include "core/kernel/percpu.h"
#include "core/kernel/tasks.h"

namespace kdk {
namespace {

constexpr int most_depth = 64;  // of parentheses and prefixes
constexpr size_t most_problems = 16;

// Binary operators by how tightly they bind; higher is tighter.
int precedence(const Token& token) {
  if (token.kind != Token::Kind::sign) return -1;
  static constexpr std::array<std::pair<std::string_view, int>, 18> all = {{{"||", 1},
                                                                            {"&&", 2},
                                                                            {"|", 3},
                                                                            {"^", 4},
                                                                            {"&", 5},
                                                                            {"==", 6},
                                                                            {"!=", 6},
                                                                            {"<", 7},
                                                                            {">", 7},
                                                                            {"<=", 7},
                                                                            {">=", 7},
                                                                            {"<<", 8},
                                                                            {">>", 8},
                                                                            {"+", 9},
                                                                            {"-", 9},
                                                                            {"*", 10},
                                                                            {"/", 10},
                                                                            {"%", 10}}};
  for (const auto& [sign, value] : all) {
    if (token.text == sign) return value;
  }
  return -1;
}

}  // namespace

struct Evaluator::Impl {
  explicit Impl(ValueReader& reader_in)
      : reader(reader_in), types(reader.types()), kernel(types.memory().kernel()), operations(reader) {}

  ValueReader& reader;
  CTypes& types;
  Kernel& kernel;
  Operations operations;
  std::optional<TaskList> tasks;

  std::string_view text;
  std::vector<Token> tokens;
  size_t at = 0;
  int depth = 0;

  // --- words
  const Token& peek(size_t ahead = 0) const { return tokens[std::min(at + ahead, tokens.size() - 1)]; }
  bool take(std::string_view sign) {
    if (peek().kind == Token::Kind::end || !(peek() == sign)) return false;
    ++at;
    return true;
  }
  Error wrong(const std::string& why) const {
    const std::string_view rest = text.substr(std::min(peek().at, text.size()));
    return Error(Errc::format,
                 fmt::format("{}: {}{}", escape_untrusted(text), why,
                             rest.empty() ? std::string(", at its end")
                                          : fmt::format(", at \"{}\"", escape_untrusted(rest))));
  }
  void expect(std::string_view sign) {
    if (!take(sign)) throw wrong(fmt::format("\"{}\" is missing", sign));
  }
  std::string expect_name() {
    if (peek().kind != Token::Kind::name) throw wrong("a name is missing");
    return tokens[at++].text;
  }

  struct Deeper {
    explicit Deeper(Impl& impl) : impl_(impl) {
      if (++impl_.depth > most_depth) throw impl_.wrong("nested too deeply");
    }
    ~Deeper() { --impl_.depth; }
    Impl& impl_;
  };

  // --- elementwise
  static void note(Evaluated& out, std::string problem) {
    if (out.problems.size() < most_problems) out.problems.push_back(std::move(problem));
  }
  // One value fails as a whole; of many, those that cannot be followed are named, and the others stay.
  Evaluated each(Evaluated in, const std::function<Value(const Value&)>& change) {
    Evaluated out{{}, in.many, std::move(in.problems)};
    for (const Value& value : in.values) {
      if (!in.many) {
        out.values.push_back(change(value));
        continue;
      }
      try {
        out.values.push_back(change(value));
      } catch (const Error& error) {
        if (error.code() == Errc::missing) throw;  // of the question, not of this element
        note(out, fmt::format("element {}: {}", &value - in.values.data(), error.message()));
      }
    }
    return out;
  }
  Evaluated combine(std::string_view sign, Evaluated left, Evaluated right) {
    if (left.many && right.many) throw Error(Errc::unsupported, fmt::format("\"{}\" of two walks", sign));
    if (right.many) {
      const Value one = single(left);
      return each(std::move(right), [&](const Value& v) { return operations.binary(sign, one, v); });
    }
    const Value one = single(right);
    return each(std::move(left), [&](const Value& v) { return operations.binary(sign, v, one); });
  }
  static Value single(const Evaluated& all) {
    if (all.many || all.values.size() != 1)
      throw Error(Errc::unsupported, "needs one value here, not a walk");
    return all.values.front();
  }

  // --- grammar
  Evaluated expression(int lowest = 0) {
    Deeper deeper(*this);
    Evaluated left = prefix();
    for (int level; (level = precedence(peek())) > lowest;) {
      const std::string sign = tokens[at++].text;
      left = combine(sign, std::move(left), expression(level));
    }
    return left;
  }

  Evaluated prefix() {
    Deeper deeper(*this);
    if (peek().kind == Token::Kind::sign) {
      for (std::string_view sign : {"-", "+", "~", "!"}) {
        if (take(sign)) return each(prefix(), [&](const Value& v) { return operations.unary(sign, v); });
      }
      if (take("*")) return each(prefix(), [&](const Value& v) { return operations.follow(v); });
      if (take("&")) return each(prefix(), [&](const Value& v) { return operations.address_of(v); });
      if (peek() == "(") {
        if (const auto type = cast()) {
          return each(prefix(), [&](const Value& v) { return operations.cast(*type, v); });
        }
      }
    }
    return postfix(primary());
  }

  Evaluated postfix(Evaluated value) {
    for (;;) {
      if (take("->") || take(".")) {
        const std::string name = expect_name();
        value = each(std::move(value), [&](const Value& v) { return operations.member(v, name); });
      } else if (take("[")) {
        const uint64_t index = operations.number(single(expression()));
        expect("]");
        value = each(std::move(value), [&](const Value& v) { return operations.index(v, index); });
      } else {
        return value;
      }
    }
  }

  // "(struct list_head *)" in front of an operand, else nothing is taken.
  std::optional<CType> cast() {
    std::vector<std::string> words;
    size_t end = at + 1;
    while (tokens[end].kind == Token::Kind::name ||
           (tokens[end].kind == Token::Kind::sign && tokens[end] == "*"))
      words.push_back(tokens[end++].text);
    if (words.empty() || !(tokens[end] == ")")) return std::nullopt;
    if (words.size() == 1 && kernel.symbol(words[0])) return std::nullopt;  // (jiffies) is no cast
    size_t used = 0;
    const auto type = types.parse(words, 0, used);
    if (!type || used != words.size()) return std::nullopt;
    at = end + 1;
    return type;
  }

  CType any_type() { return {types.memory().types(), 0, 0}; }  // void
  Evaluated one(Value value) { return {{std::move(value)}, false, {}}; }

  Evaluated primary() {
    const Token token = peek();
    switch (token.kind) {
      case Token::Kind::number:
        ++at;
        return one(operations.literal(token.number));
      case Token::Kind::character:
        ++at;
        return one({types.character(), std::nullopt, 0, 0, token.number, {}});
      case Token::Kind::name:
        ++at;
        return peek() == "(" && peek().kind == Token::Kind::sign ? call(token.text)
                                                                 : one(variable(token.text));
      default:
        if (!take("(")) throw wrong("a value is missing");
        Evaluated inner = expression();
        expect(")");
        return inner;
    }
  }

  bool per_cpu(VirtAddr address) {
    const auto begin = kernel.symbol("__per_cpu_start"), end = kernel.symbol("__per_cpu_end");
    return begin && end && address >= *begin && address < *end;
  }

  Value variable(const std::string& name) {
    const auto address = kernel.symbol(name);
    if (!address) {
      if (const auto number = types.enumerator(name))
        return {types.integer(4, true), std::nullopt, 0, 0, static_cast<uint64_t>(*number), {}};
      throw Error(Errc::missing, fmt::format("{} is no variable, function or enumerator of this kernel",
                                             escape_untrusted(name)));
    }
    if (per_cpu(*address)) {
      throw Error(
          Errc::unsupported,
          fmt::format("{0} is a per-CPU variable: percpu({0}, CPU), or percpu({0})", escape_untrusted(name)));
    }
    const CType any = any_type();
    if (const auto symbol = kernel.symbols().find(name); symbol && symbol->text())
      return operations.pointer(any, address->value);
    return {types.variable(name).value_or(any), *address, 0, 0, 0, {}};
  }

  // --- functions
  Evaluated call(const std::string& name) {
    using Function = Evaluated (Impl::*)();
    static const std::map<std::string, Function, std::less<>> functions = {
        {"task", &Impl::call_task},   {"percpu", &Impl::call_percpu}, {"container_of", &Impl::call_container},
        {"list", &Impl::call_list},   {"rbtree", &Impl::call_rbtree}, {"xarray", &Impl::call_xarray},
        {"maple", &Impl::call_maple}, {"sizeof", &Impl::call_sizeof}, {"offsetof", &Impl::call_offsetof},
    };
    const auto found = functions.find(name);
    if (found == functions.end())
      throw Error(Errc::missing, fmt::format("there is no function {} here", escape_untrusted(name)));
    expect("(");
    Evaluated out = (this->*found->second)();
    expect(")");
    return out;
  }

  CType type_argument() {
    std::vector<std::string> words;
    while (peek().kind == Token::Kind::name || (peek().kind == Token::Kind::sign && peek() == "*"))
      words.push_back(tokens[at++].text);
    size_t used = 0;
    const auto type = types.parse(words, 0, used);
    if (!type || used != words.size()) throw wrong("a type is missing");
    return *type;
  }
  std::string path_argument() {
    std::string path = expect_name();
    while (take(".")) path += "." + expect_name();
    return path;
  }
  uint64_t member_offset(CType type, const std::string& path) {
    const auto found = types.member(type, path);
    if (!found) {
      throw Error(Errc::missing,
                  fmt::format("{} has no member {}", types.name(type), escape_untrusted(path)));
    }
    if (found->bitfield_size != 0) throw Error(Errc::unsupported, fmt::format("{} is a bit field", path));
    return found->bit_offset / 8;
  }

  Evaluated call_task() {
    const uint64_t pid = operations.number(single(expression()));
    if (!tasks) tasks = read_tasks(kernel);
    for (const Task& task : tasks->tasks) {
      if (task.pid && static_cast<uint64_t>(*task.pid) == pid)
        return one(operations.pointer(*types.parse("struct task_struct"), task.address));
    }
    throw Error(Errc::missing, fmt::format("there is no task with pid {}{}", pid,
                                           tasks->why_not.empty() ? "" : ": " + tasks->why_not));
  }

  Evaluated call_percpu() {
    // A name, or a value whose address is the offset that per_cpu_ptr() takes.
    std::optional<VirtAddr> base;
    std::optional<CType> type;
    if (peek().kind == Token::Kind::name && (peek(1) == "," || peek(1) == ")")) {
      const std::string name = tokens[at++].text;
      base = kernel.symbol(name);
      if (!base)
        throw Error(Errc::missing, fmt::format("{} is no variable of this kernel", escape_untrusted(name)));
      type = types.variable(name);
      if (!type) type = any_type();
    } else {
      const Value pointer = single(expression());
      base = VirtAddr{operations.number(pointer)};
      type = types.target(pointer.type);
      if (!type) throw Error(Errc::unsupported, "percpu() of what is no pointer");
    }
    Evaluated out;
    std::vector<unsigned> cpus;
    if (take(",")) {
      const uint64_t cpu = operations.number(single(expression()));
      if (cpu > 1 << 20) throw Error(Errc::missing, fmt::format("there is no CPU {}", cpu));
      cpus.push_back(static_cast<unsigned>(cpu));
    } else {
      out.many = true;
      cpus = cpu_mask(kernel, "__cpu_possible_mask").value_or(std::vector<unsigned>{});
    }
    for (unsigned cpu : cpus) {
      const auto offset = per_cpu_offset(kernel, cpu);
      if (!offset) throw Error(Errc::missing, fmt::format("there is no CPU {}", cpu));
      out.values.push_back({*type, *base + *offset, 0, 0, 0, out.many ? fmt::format("CPU {}", cpu) : ""});
    }
    if (out.values.empty()) throw Error(Errc::missing, "which CPUs there are is not known");
    return out;
  }

  Evaluated call_container() {
    const Evaluated inner = expression();
    expect(",");
    const CType type = type_argument();
    expect(",");
    const uint64_t offset = member_offset(type, path_argument());
    return each(inner, [&](const Value& v) {
      Value out = operations.pointer(type, operations.address(v) - offset);
      out.label = v.label;
      return out;
    });
  }

  // Where a container's head is, and the name of its type.
  std::pair<VirtAddr, std::string> head_argument() {
    const Value head = single(expression());
    CType type = head.type;
    if (types.record(type).kind == CTypes::Kind::pointer) type = types.target(type).value_or(type);
    return {{operations.address(head)}, std::string(types.record(type).name)};
  }
  Evaluated elements(const Walk& walk, CType type, uint64_t offset) {
    Evaluated out;
    out.many = true;
    for (const WalkItem& item : walk.items)
      out.values.push_back(operations.pointer(type, item.value - offset));
    if (!walk.problem.empty()) note(out, walk.problem);
    return out;
  }
  Evaluated call_list() {
    const auto [head, name] = head_argument();
    expect(",");
    const CType type = type_argument();
    expect(",");
    const uint64_t offset = member_offset(type, path_argument());
    return elements(walk_linked(types.memory(), head, name), type, offset);
  }
  Evaluated call_rbtree() {
    const auto [root, name] = head_argument();
    expect(",");
    const CType type = type_argument();
    expect(",");
    const uint64_t offset = member_offset(type, path_argument());
    return elements(walk_rbtree(types.memory(), root), type, offset);
  }
  Evaluated indexed(const Walk& walk, CType type) {
    Evaluated out;
    out.many = true;
    for (const WalkItem& item : walk.items) {
      // An odd entry is a number that was stored (xa_mk_value()).
      Value value =
          (item.value & 1) != 0 ? operations.literal(item.value >> 1) : operations.pointer(type, item.value);
      value.label = item.first == item.last ? fmt::format("[{:#x}]", item.first)
                                            : fmt::format("[{:#x}-{:#x}]", item.first, item.last);
      out.values.push_back(std::move(value));
    }
    if (!walk.problem.empty()) note(out, walk.problem);
    return out;
  }
  Evaluated call_xarray() {
    const auto [head, name] = head_argument();
    CType type = any_type();
    if (take(",")) type = type_argument();
    return indexed(walk_xarray(types.memory(), head), type);
  }
  Evaluated call_maple() {
    const auto [head, name] = head_argument();
    CType type = any_type();
    if (take(",")) type = type_argument();
    return indexed(walk_maple(types.memory(), head), type);
  }

  Evaluated call_sizeof() {
    std::vector<std::string> words;
    for (size_t i = at; tokens[i].kind == Token::Kind::name || tokens[i] == "*"; ++i)
      words.push_back(tokens[i].text);
    size_t used = 0;
    std::optional<CType> type;
    if (!words.empty() && !kernel.symbol(words[0])) type = types.parse(words, 0, used);
    if (type) {
      at += used;
    } else {
      type = single(expression()).type;
    }
    return one({types.integer(8, false), std::nullopt, 0, 0, types.size(*type), {}});
  }
  Evaluated call_offsetof() {
    const CType type = type_argument();
    expect(",");
    return one({types.integer(8, false), std::nullopt, 0, 0, member_offset(type, path_argument()), {}});
  }
};

Evaluator::Evaluator(ValueReader& reader) : impl_(std::make_unique<Impl>(reader)) {}
Evaluator::~Evaluator() = default;

Evaluated Evaluator::evaluate(std::string_view expression) {
  Impl& impl = *impl_;
  impl.text = expression;
  impl.tokens = tokens_of(expression);
  impl.at = 0;
  impl.depth = 0;
  Evaluated out = impl.expression();
  if (impl.peek().kind != Token::Kind::end) throw impl.wrong("something is left over");
  return out;
}

uint64_t Evaluator::address(std::string_view expression) {
  const Evaluated found = evaluate(expression);
  return impl_->operations.address(Impl::single(found));
}

}  // namespace kdk
