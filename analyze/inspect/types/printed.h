// What `print` and `struct` answer: expressions with their values.
#pragma once

#include <string>
#include <vector>

#include "analyze/inspect/types/value.h"

namespace kdk {

struct PrintedExpression {
  std::string expression;  // escaped
  bool many = false;       // a walk: values are its elements, even when there is one, or none
  struct Item {
    std::string label;  // index or CPU; may be empty
    ValueNode value;
  };
  std::vector<Item> items;
  std::vector<std::string> problems;  // walks that ended early; escaped
  std::string error;                  // it has no value, and why; escaped
};

struct PrintedValues {
  std::vector<PrintedExpression> expressions;
};

}  // namespace kdk
