// The answer of `reserve`, as text and as JSON.
#pragma once

#include <optional>
#include <string>

#include "loader/reserve/recommend.h"

namespace kdk {

struct ReserveReport {
  std::string_view architecture;
  Reservation reservation;
  std::optional<Recommendation> recommendation;
  std::string no_recommendation;  // why there is none, and what to do; else empty
};

std::string reserve_to_text(const ReserveReport& report);
// schemas/load-reserve.schema.json.
std::string reserve_to_json(const ReserveReport& report);

}  // namespace kdk
