#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "host/census/causes.h"

namespace deadray::census {

/// Sums what one cause gives in each block of each stack, in the order in which they come.
class Tally {
 public:
  explicit Tally(std::string_view cause) : cause_(cause) {}

  /// @param why  for a dimension of 0; the first reason of a block stands where its sum is 0
  void add(std::string_view stack, std::int64_t block, std::int64_t dimension,
           std::string_view why = {}) {
    const auto [place, is_new] = places_.try_emplace({stack, block}, findings_.size());
    if (is_new) findings_.push_back({cause_, stack, block, 0, {}});
    Finding& found = findings_[place->second];
    found.dimension += dimension;
    if (found.why.empty()) found.why = why;
  }

  Findings take() && {
    for (Finding& found : findings_)
      if (found.dimension > 0) found.why.clear();
    return std::move(findings_);
  }

 private:
  std::string_view cause_;
  Findings findings_;
  std::map<std::pair<std::string_view, std::int64_t>, std::size_t> places_;
};

}  // namespace deadray::census
