#include "host/formats/wrapped_names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <set>
#include <utility>

namespace deadray {
namespace {

constexpr std::string_view kAnywhere[] = {"_orig_mod.", "_fsdp_wrapped_module.",
                                          "_checkpoint_wrapped_module.", "_forward_module."};
constexpr std::string_view kInFront[] = {"module.", "base_model.model."};

/// Whether a component begins as all of kAnywhere do: names of which none does need no closer look.
bool may_hold_components(std::string_view name) {
  return name.starts_with('_') || name.find("._") != name.npos;
}

/// Without the components of kAnywhere. @param found  gains those that were there
std::string without_components(std::string name, std::set<std::string_view>& found) {
  for (const std::string_view wrapper : kAnywhere)
    for (std::size_t at = 0; (at = name.find(wrapper, at)) != name.npos;) {
      if (at > 0 && name[at - 1] != '.') {
        ++at;
        continue;
      }
      name.erase(at, wrapper.size());
      found.insert(wrapper);
    }
  return name;
}

/// Gives the tensors these names, and their order; false, and nothing done, where two agree.
bool rename(std::vector<TensorInfo>& tensors, std::vector<std::string> names) {
  std::vector<std::string_view> sorted(names.begin(), names.end());
  std::sort(sorted.begin(), sorted.end());
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) return false;
  for (std::size_t i = 0; i < tensors.size(); ++i) tensors[i].name = std::move(names[i]);
  std::sort(tensors.begin(), tensors.end(),
            [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; });
  return true;
}

}  // namespace

void take_off_wrappers(std::vector<TensorInfo>& tensors, std::vector<std::string>& notes) {
  const auto may_be_wrapped = [](const TensorInfo& tensor) {
    return may_hold_components(tensor.name) ||
           std::any_of(std::begin(kInFront), std::end(kInFront),
                       [&](std::string_view prefix) { return tensor.name.starts_with(prefix); });
  };
  if (std::none_of(tensors.begin(), tensors.end(), may_be_wrapped)) return;
  std::set<std::string_view> found;
  std::vector<std::string> names;
  names.reserve(tensors.size());
  for (const TensorInfo& tensor : tensors) names.push_back(without_components(tensor.name, found));
  const auto all_begin_with = [&](std::string_view prefix) {
    return std::all_of(names.begin(), names.end(),
                       [&](const std::string& name) { return name.starts_with(prefix); });
  };
  for (bool again = true; again;) {
    again = false;
    for (const std::string_view prefix : kInFront) {
      if (!all_begin_with(prefix)) continue;
      for (std::string& name : names) name.erase(0, prefix.size());
      found.insert(prefix);
      again = true;
    }
  }
  if (found.empty() || !rename(tensors, std::move(names))) return;
  notes.push_back(fmt::format("names of tensors: taken off what a wrapper put there: '{}'",
                              fmt::join(found, "', '")));
}

bool take_off_prefix(std::vector<TensorInfo>& tensors, std::string_view prefix) {
  std::vector<std::string> names;
  names.reserve(tensors.size());
  for (const TensorInfo& tensor : tensors)
    names.push_back(tensor.name.substr(tensor.name.starts_with(prefix) ? prefix.size() : 0));
  return rename(tensors, std::move(names));
}

}  // namespace deadray
