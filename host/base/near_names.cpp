#include "host/base/near_names.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <utility>

#include "host/base/in_quotes.h"

namespace deadray {
namespace {

/// Levenshtein distance, or limit + 1 as soon as it must exceed the limit.
std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit,
                          std::vector<std::size_t>& row) {
  if (std::max(a.size(), b.size()) - std::min(a.size(), b.size()) > limit) return limit + 1;
  row.resize(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1), smallest = row[0];
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({substituted, row[j] + 1, row[j + 1] + 1});
      smallest = std::min(smallest, row[j + 1]);
    }
    if (smallest > limit) return limit + 1;
  }
  return row[b.size()];
}

bool differ_by_prefix(std::string_view a, std::string_view b) {
  if (a.size() < b.size()) std::swap(a, b);
  return !b.empty() && a.size() > b.size() && a.ends_with(b) && a[a.size() - b.size() - 1] == '.';
}

}  // namespace

std::vector<std::string> near_names(std::string_view wanted, std::span<const std::string> known,
                                    int most) {
  const std::size_t limit = std::max<std::size_t>(1, wanted.size() / 3);
  std::vector<std::pair<std::size_t, std::size_t>> near;  // distance, index
  std::vector<std::size_t> row;
  for (std::size_t i = 0; i < known.size(); ++i) {
    const std::size_t distance =
        differ_by_prefix(wanted, known[i]) ? 1 : edit_distance(wanted, known[i], limit, row);
    if (distance <= limit) near.emplace_back(distance, i);
  }
  std::sort(near.begin(), near.end());
  near.resize(std::min(near.size(), static_cast<std::size_t>(std::max(most, 0))));
  std::vector<std::string> names;
  for (const auto& [distance, i] : near) names.push_back(known[i]);
  return names;
}

std::string did_you_mean(std::string_view wanted, std::span<const std::string> known, int most) {
  const std::vector<std::string> names = near_names(wanted, known, most);
  if (names.empty()) return "";
  std::string line = "; did you mean ";
  for (std::size_t i = 0; i < names.size(); ++i)
    line += (i == 0 ? "" : i + 1 == names.size() ? " or " : ", ") + in_quotes(names[i]);
  return line + "?";
}

}  // namespace deadray
