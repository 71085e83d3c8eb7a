// `kdump-analyze struct` and `print`.
#include "analyze/render/types.h"
#include "analyze/ask.h"
#include "analyze/commands/command.h"
#include "analyze/commands/commands.h"
#include "analyze/inspect/types/expression.h"
#include "analyze/inspect/types/printed.h"
#include "core/kernel/struct_layout.h"

namespace kdk {
namespace {

constexpr size_t most_printed = 10'000;  // values of one walk

// The types of a session, and what reads by them.
struct TypedSession {
  explicit TypedSession(const Options& options) : opened(options), kernel(require_kernel(session)) {
    session.debug_info();
    session.modules();  // their names, for what pointers point to
  }
  OpenSession opened;
  Session& session = *opened;
  Kernel& kernel;
  CTypes types{session.types()};
  ValueReader reader{types, kernel};
  Evaluator evaluator{reader};
};

PrintedExpression print(TypedSession& s, const std::string& shown,
                        const std::function<Evaluated()>& evaluate) {
  PrintedExpression out;
  out.expression = escape_untrusted(shown);
  // One expression of several: what is wrong with it is its own answer.
  try {
    const Evaluated found = evaluate();
    out.many = found.many;
    for (const Value& value : found.values) {
      if (out.items.size() == most_printed) {
        out.problems.push_back(
            fmt::format("{} values more are not shown", found.values.size() - most_printed));
        break;
      }
      out.items.push_back({escape_untrusted(value.label), s.reader.read(value)});
    }
    for (const std::string& problem : found.problems) out.problems.push_back(escape_untrusted(problem));
  } catch (const Error& error) {
    out.error = error.message();
  }
  return out;
}

int finish_printed(const Options& options, TypedSession& s, PrintedValues values) {
  size_t failed = 0, incomplete = 0;
  for (const PrintedExpression& e : values.expressions) {
    failed += e.error.empty() ? 0 : 1;
    incomplete += e.problems.empty() ? 0 : 1;
  }
  const size_t asked = values.expressions.size();
  const int code = finish(options, answer_of(s.session, std::move(values)));
  if (failed == asked) return exit_failed;
  return failed + incomplete != 0 ? exit_partial : code;
}

// "task_struct.comm,pid" into the type's name and the members; the names of structs need no "struct".
struct TypeQuery {
  std::string type;
  std::vector<std::string> members;
};
TypeQuery split(const std::string& text) {
  TypeQuery out;
  const size_t dot = text.find('.');
  out.type = text.substr(0, dot);
  for (size_t at = dot; at != std::string::npos;) {
    const size_t comma = text.find(',', at + 1);
    out.members.push_back(text.substr(at + 1, comma == std::string::npos ? comma : comma - at - 1));
    at = comma;
  }
  return out;
}

CType require_type(CTypes& types, const std::string& name) {
  if (const auto type = types.named(name)) return *type;
  throw Error(Errc::missing, fmt::format("the kernel has no type {}", escape_untrusted(name)));
}

}  // namespace

void add_struct(Program& program) {
  struct Words {
    std::string type;
    std::vector<std::string> at;
  };
  Command command(program, "struct", "A type's layout, or what is in one at an address");
  auto words = std::make_shared<Words>();
  command.one_dump();
  command.app()
      .add_option("TYPE", words->type, "task_struct, \"enum pid_type\", task_struct.comm,pid")
      ->required();
  command.app().add_option("ADDRESS", words->at, "A number, or an expression as of print");
  command.debug_info();
  command.output();
  command.run([words](const Options& options) -> int {
    TypedSession s(options);
    const TypeQuery query = split(words->type);
    const CType type = require_type(s.types, query.type);
    if (words->at.empty()) {
      StructLayout layout = layout_of(s.types, type, query.members);
      layout.query = escape_untrusted(words->type);
      return finish(options, answer_of(s.session, std::move(layout)));
    }
    PrintedValues values;
    for (const std::string& at : words->at) {
      const auto show = [&](const std::string& shown, const std::string& member) {
        values.expressions.push_back(print(s, shown, [&] {
          return s.evaluator.evaluate(
              fmt::format("(*({} *){:#x}){}", s.types.name(type), s.evaluator.address(at), member));
        }));
      };
      if (query.members.empty()) show(at, "");
      for (const std::string& member : query.members) show(at + "->" + member, "." + member);
    }
    return finish_printed(options, s, std::move(values));
  });
}

void add_print(Program& program) {
  Command command(program, "print", "Expressions over the kernel's variables and types");
  auto expressions = std::make_shared<std::vector<std::string>>();
  command.one_dump();
  command.app()
      .add_option("EXPRESSION", *expressions,
                  "init_task.comm, task(1)->mm->pgd, list(HEAD, TYPE, MEMBER), ...")
      ->required();
  command.debug_info();
  command.output();
  command.run([expressions](const Options& options) -> int {
    TypedSession s(options);
    PrintedValues values;
    for (const std::string& each : *expressions)
      values.expressions.push_back(print(s, each, [&] { return s.evaluator.evaluate(each); }));
    return finish_printed(options, s, std::move(values));
  });
}

}  // namespace kdk
