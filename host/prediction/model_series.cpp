#include "host/prediction/model_series.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <numeric>
#include <optional>
#include <set>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

#include "host/formats/hub_cache.h"

namespace deadray {
namespace {

namespace fs = std::filesystem;
using Components = std::vector<std::string>;

/// What a path says: its components, links to folders followed; org, name and revision of a
/// snapshot in the hub's cache.
Components components_of(const fs::path& model) {
  std::error_code error;
  const bool is_folder = fs::is_directory(model, error);
  fs::path path = is_folder ? fs::canonical(model, error) : fs::absolute(model).lexically_normal();
  if (error) path = fs::absolute(model).lexically_normal();
  if (const auto snapshot = hub_snapshot(model)) {
    const fs::path repository(snapshot->repository);
    path = repository / snapshot_revision(model).value_or(snapshot->commit.substr(0, 12)) /
           (is_folder ? fs::path() : path.filename());
  }
  Components components;
  for (const fs::path& part : path)
    if (!part.empty() && part != "/") components.push_back(part.string());
  if (components.empty()) components.push_back(model.string());  // the root
  return components;
}

/// The last `count` components before the last `left_out`, with slashes between.
std::string label_of(const Components& all, std::size_t left_out, std::size_t count) {
  const std::size_t end = all.size() - left_out, first = end - std::min(count, end);
  return fmt::format("{}", fmt::join(std::span(all).subspan(first, end - first), "/"));
}

/// As few components as tell the paths apart, those left out with which all of them end.
std::vector<std::string> labels_of(const std::vector<Components>& paths) {
  const std::set<Components> distinct(paths.begin(), paths.end());
  std::size_t shortest = paths.front().size(), longest = 0;
  for (const Components& path : distinct) {
    shortest = std::min(shortest, path.size());
    longest = std::max(longest, path.size());
  }
  const auto all_end_alike = [&](std::size_t before) {
    const auto end_of = [&](const Components& path) { return path[path.size() - 1 - before]; };
    return std::all_of(distinct.begin(), distinct.end(), [&](const Components& path) {
      return end_of(path) == end_of(*distinct.begin());
    });
  };
  std::size_t left_out = 0;
  while (distinct.size() > 1 && left_out + 1 < shortest && all_end_alike(left_out)) ++left_out;
  std::vector<std::string> labels;
  for (std::size_t count = 1; count <= longest; ++count) {
    labels.clear();
    for (const Components& path : paths) labels.push_back(label_of(path, left_out, count));
    if (std::set<std::string>(labels.begin(), labels.end()).size() == distinct.size()) break;
  }
  return labels;
}

/// A label as text, with a NUL for each number, and its numbers.
struct Numbered {
  std::string text;
  std::vector<std::int64_t> numbers;
};

/// @return nullopt where a number is beyond 64 bits
std::optional<Numbered> numbers_in(std::string_view label) {
  Numbered found;
  while (!label.empty()) {
    std::int64_t number = 0;
    const bool is_digit = label.front() >= '0' && label.front() <= '9';
    const auto [end, error] =
        std::from_chars(label.data(), label.data() + (is_digit ? label.size() : 0), number);
    if (is_digit && error != std::errc()) return std::nullopt;
    if (is_digit) found.numbers.push_back(number);
    found.text.push_back(is_digit ? '\0' : label.front());
    label.remove_prefix(is_digit ? static_cast<std::size_t>(end - label.data()) : 1);
  }
  return found;
}

/// The first number that is another in each label, of labels that differ in numbers alone.
std::vector<std::int64_t> steps_of(const std::vector<std::string>& labels) {
  std::vector<Numbered> all;
  for (const std::string& label : labels) {
    std::optional<Numbered> numbered = numbers_in(label);
    if (!numbered || (!all.empty() && numbered->text != all.front().text)) return {};
    all.push_back(std::move(*numbered));
  }
  for (std::size_t place = 0; place < all.front().numbers.size(); ++place) {
    std::vector<std::int64_t> steps;
    for (const Numbered& numbered : all) steps.push_back(numbered.numbers[place]);
    if (std::set<std::int64_t>(steps.begin(), steps.end()).size() == steps.size()) return steps;
  }
  return {};
}

}  // namespace

ModelSeries order_models(const std::vector<fs::path>& models, std::vector<std::string> labels) {
  if (labels.empty()) {
    std::vector<Components> paths;
    for (const fs::path& model : models) paths.push_back(components_of(model));
    labels = labels_of(paths);
  }
  const std::vector<std::int64_t> steps = steps_of(labels);
  std::vector<std::size_t> order(models.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (!steps.empty())
    std::sort(order.begin(), order.end(),
              [&](std::size_t a, std::size_t b) { return steps[a] < steps[b]; });
  ModelSeries series;
  for (const std::size_t k : order) {
    series.models.push_back(models[k]);
    series.labels.push_back(labels[k]);
    if (!steps.empty()) series.steps.push_back(steps[k]);
  }
  series.places = std::move(order);
  return series;
}

}  // namespace deadray
