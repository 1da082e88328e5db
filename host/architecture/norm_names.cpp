#include "host/architecture/norm_names.h"

#include <algorithm>
#include <cstddef>

namespace deadray {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// The digits that `text` begins with, without leading zeros; they are taken away from it.
std::string_view take_number(std::string_view& text) {
  const std::size_t digits =
      static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), is_digit) - text.begin());
  std::string_view number = text.substr(0, digits);
  text.remove_prefix(digits);
  number.remove_prefix(std::min(number.find_first_not_of('0'), number.size()));
  return number;
}

}  // namespace

bool comes_before(std::string_view a, std::string_view b) {
  const std::string_view whole_a = a, whole_b = b;
  while (!a.empty() && !b.empty()) {
    if (is_digit(a.front()) && is_digit(b.front())) {
      const std::string_view x = take_number(a), y = take_number(b);
      if (x != y) return x.size() != y.size() ? x.size() < y.size() : x < y;
    } else {
      if (a.front() != b.front()) return a.front() < b.front();
      a.remove_prefix(1);
      b.remove_prefix(1);
    }
  }
  if (a.empty() != b.empty()) return a.empty();
  return whole_a < whole_b;  // they differ in leading zeros at most
}

bool is_in_numbered_part(std::string_view site) {
  const std::size_t dot = site.rfind('.');
  const std::string_view last = site.substr(dot == site.npos ? 0 : dot + 1);
  if (!last.empty() && std::all_of(last.begin(), last.end(), is_digit)) return true;
  for (std::string_view before = site.substr(0, site.size() - last.size()); !before.empty();) {
    const std::string_view component = before.substr(0, before.find('.'));
    // The whole component where there is no '_': npos + 1 is 0.
    const std::string_view number = component.substr(component.rfind('_') + 1);
    if (!number.empty() && std::all_of(number.begin(), number.end(), is_digit)) return true;
    before.remove_prefix(component.size() + 1);
  }
  return false;
}

}  // namespace deadray
