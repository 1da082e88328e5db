#include "host/architecture/catalogued/placed_norms.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "host/architecture/fit/unread_tensors.h"
#include "host/base/in_quotes.h"

namespace deadray {
namespace {

constexpr int kDeepest = 4;  // of models in models

std::vector<std::string> joined(const std::vector<std::string>& before,
                                const std::vector<std::string>& after) {
  std::vector<std::string> all;
  for (const std::string& a : before)
    for (const std::string& b : after) all.push_back(a + b);
  return all;
}

}  // namespace

std::optional<std::vector<std::int64_t>> match(std::string_view pattern, std::string_view name) {
  std::vector<std::int64_t> numbers;
  while (!pattern.empty() && !name.empty()) {
    if (!pattern.starts_with("{}")) {
      if (pattern.front() != name.front()) return std::nullopt;
      pattern.remove_prefix(1), name.remove_prefix(1);
      continue;
    }
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error != std::errc() || number < 0) return std::nullopt;
    numbers.push_back(number);
    pattern.remove_prefix(2), name.remove_prefix(static_cast<std::size_t>(end - name.data()));
  }
  if (!pattern.empty() || !name.empty()) return std::nullopt;
  return numbers;
}

std::string filled(std::string_view pattern, const std::vector<std::int64_t>& numbers) {
  std::string name;
  for (std::size_t next = 0; !pattern.empty();) {
    const bool same = pattern.starts_with("{}"), step = pattern.starts_with("{+1}");
    if ((same || step) && next < numbers.size()) {
      name += std::to_string(numbers[next++] + (step ? 1 : 0));
      pattern.remove_prefix(same ? 2 : 4);
    } else {
      name += pattern.front();
      pattern.remove_prefix(1);
    }
  }
  return name;
}

PlacedNorms::PlacedNorms(const TypeCatalogue& catalogue, const CataloguedType& type,
                         const Config& config, std::vector<std::string>& notes)
    : catalogue_(catalogue), notes_(notes) {
  place(type, config, {""}, true, 0);
  for (std::size_t i = 0; i < norms_.size(); ++i)
    by_pattern_.emplace(pattern_of(norms_[i].stem() + "." + norms_[i].norm.scale), i);
}

void PlacedNorms::add(CataloguedNorm norm, std::string prefix, const Config& config) {
  double eps = norm.eps;
  if (!norm.eps_key.empty()) eps = config.non_negative(norm.eps_key, eps);
  const bool tied = config.json().value("tie_word_embeddings", nlohmann::json(false)) == true;
  const std::int64_t tied_width =
      tied && config.has("vocab_size") ? config.integer("vocab_size") : 0;
  norms_.push_back({std::move(norm), std::move(prefix), config.full_key(""), eps, tied_width});
}

void PlacedNorms::place(const CataloguedType& type, const Config& config,
                        const std::vector<std::string>& before, bool is_final, int depth) {
  const std::vector<std::string> prefixes = joined(before, type.prefixes);
  for (CataloguedNorm norm : type.norms) {
    norm.is_final = norm.is_final && is_final;
    const std::string name = norm.name;
    norm.name = name.substr(name.starts_with('/') ? 1 : 0);
    for (const std::string& prefix : name.starts_with('/') ? before : prefixes)
      add(norm, prefix, config);
    for (const std::string& other : norm.also) {
      norm.name = other;
      for (const std::string& prefix : before) add(norm, prefix, config);
    }
  }
  for (const auto& [pattern, kind] : type.unscaled) unscaled_[before.front() + pattern] = kind;
  for (const CataloguedPart& part : type.parts) place_part(part, config, before, is_final, depth);
}

void PlacedNorms::place_part(const CataloguedPart& part, const Config& config,
                             const std::vector<std::string>& before, bool is_final, int depth) {
  const bool has_own = config.has(part.config) && config.json()[part.config].is_object();
  const Config inner = has_own ? config.object(part.config) : config;
  const std::string type = has_own ? inner.text("model_type", part.model_type) : part.model_type;
  const auto found = catalogue_.find(type);
  if (!found || !found->failed.empty() || depth == kDeepest) {
    notes_.push_back(
        fmt::format("{}: the norms of {} are left out: its model_type {} is not in the "
                    "catalogue",
                    config.path().string(), config.full_key(part.config), in_quotes(type)));
    return;
  }
  if (type != part.model_type)
    notes_.push_back(fmt::format("{} is a {}", config.full_key(part.config), in_quotes(type)));
  place(*found, inner, joined(before, part.prefixes), is_final && part.is_final, depth + 1);
}

std::optional<PlacedNorms::Found> PlacedNorms::find(std::string_view tensor) const {
  const auto [first, last] = by_pattern_.equal_range(pattern_of(tensor));
  std::optional<Found> best;
  for (auto it = first; it != last; ++it) {
    const PlacedNorm& norm = norms_[it->second];
    auto numbers = match(norm.stem() + "." + norm.norm.scale, tensor);
    // A pattern with a number of its own says more than one with all open.
    if (numbers && (!best || numbers->size() < best->numbers.size()))
      best = Found{&norm, *std::move(numbers)};
  }
  return best;
}

}  // namespace deadray
