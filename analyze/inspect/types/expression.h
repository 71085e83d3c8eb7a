// Expressions over the kernel's variables and types, as in C: members, pointers, casts, indexes, arithmetic,
// and functions for what C has loops and macros for:
//
//   task(PID)                          struct task_struct * of a thread
//   percpu(VARIABLE[, CPU])            a CPU's own; without CPU, of every CPU
//   container_of(POINTER, TYPE, MEMBER)
//   list(HEAD, TYPE, MEMBER)           every element of a list, hlist or llist
//   rbtree(ROOT, TYPE, MEMBER)         every node of a tree, in order
//   xarray(ARRAY[, TYPE])              every entry, pointers to TYPE
//   maple(TREE[, TYPE])
//   sizeof(TYPE or VALUE), offsetof(TYPE, MEMBER)
//
// What follows a walk applies to each of its elements: list(...).comm. A `.` behind a pointer follows it, as
// `->` does.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "analyze/inspect/types/value.h"

namespace kdk {

struct Evaluated {
  std::vector<Value> values;
  bool many = false;                  // a walk or all CPUs: even when there is one value, or none
  std::vector<std::string> problems;  // walks that ended early, elements that could not be followed
};

class Evaluator {
 public:
  explicit Evaluator(ValueReader& reader);
  ~Evaluator();

  // Throws Error{format} for what is no expression (with where in it), Error{missing} for unknown names and
  // types, Error{fault} for memory that is not there, Error{unsupported} for an operation that makes no
  // sense.
  Evaluated evaluate(std::string_view expression);
  // The expression as an address: of a pointer or number its value, else where it is. Throws as evaluate(),
  // and Error{unsupported} when it is not one value.
  uint64_t address(std::string_view expression);

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace kdk
