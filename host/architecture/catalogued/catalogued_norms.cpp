#include "host/architecture/catalogued/catalogued_norms.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "host/architecture/architecture.h"
#include "host/architecture/catalogued/placed_norms.h"
#include "host/architecture/fit/unread_tensors.h"
#include "host/architecture/norm_names.h"
#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/near_names.h"
#include "host/formats/tensor_names.h"

namespace deadray {
namespace {

/// How older files end a scale's and a shift's name: {today's, theirs}.
constexpr std::pair<std::string_view, std::string_view> kEndings[] = {{"weight", "gamma"},
                                                                      {"bias", "beta"}};

/// The name with today's ending.
std::string with_todays_ending(std::string_view name) {
  for (const auto& [ours, theirs] : kEndings)
    if (name.ends_with(fmt::format(".{}", theirs)))
      return std::string(name.substr(0, name.size() - theirs.size())).append(ours);
  return std::string(name);
}

/// "h.0.ln_1" of "h.0.ln_1.weight"
std::string parent(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  return std::string(name.substr(0, dot == name.npos ? 0 : dot));
}

/// Makes sites of the tensors that are a norm's scale, and keeps what else there is to say.
class Collector {
 public:
  Collector(const PlacedNorms& placed, const Checkpoint& checkpoint)
      : placed_(placed), checkpoint_(checkpoint) {
    for (const TensorInfo& tensor : checkpoint.tensors()) take(tensor);
  }

  std::vector<NormSite> sites() {
    std::stable_sort(sites_.begin(), sites_.end(), [](const NormSite& a, const NormSite& b) {
      return comes_before(a.name, b.name);
    });
    mark_final();
    return std::move(sites_);
  }

  void tell(std::vector<std::string>& notes) const {
    for (const auto& [why, names] : not_predicted_)
      notes.push_back(fmt::format("not predicted: {}: {}", first_few(names), why));
    if (shiftless_ > 0)
      notes.push_back(fmt::format("{} of {} norms store no shift, which the type has: beta = 0",
                                  shiftless_, known_sites_));
    for (const auto& [pattern, kind] : placed_.unscaled())
      notes.push_back(fmt::format("{} store nothing and are not listed: {}s with gamma = 1{}",
                                  pattern, kind,
                                  kind == "layernorm" ? ", whose dead direction is uniform" : ""));
    tell_gaps(notes);
    tell_unknown(notes);
    if (without_readers_ > 0)
      notes.push_back(
          fmt::format("linear maps that read the norm are unknown for {} of {} norms, and their "
                      "dead parameters are not counted",
                      without_readers_, known_sites_));
  }

 private:
  void take(const TensorInfo& tensor) {
    auto found = placed_.find(tensor.name);
    if (!found) found = placed_.find(with_todays_ending(tensor.name));
    if (!found) return;
    const PlacedNorm& placed = *found->norm;
    const std::string stem = filled(placed.stem(), found->numbers);
    const std::string shift = shift_of(placed.norm, stem);
    known_stems_.insert(parent(tensor.name));
    if (!placed.norm.not_predicted.empty()) {
      not_predicted_[placed.norm.not_predicted].push_back(stem);
      return;
    }
    if (!found->numbers.empty()) {
      const std::size_t open = placed.stem().find("{}");
      auto& places = numbers_[placed.stem().substr(0, open)];
      places[placed.stem()].insert(found->numbers.front());
      in_some_[placed.stem()] = placed.norm.in_some;
    }
    add(tensor, shift, stem, *found);
  }

  /// The shift beside a scale, also where the type has none by its default configuration.
  std::string shift_of(const CataloguedNorm& norm, const std::string& stem) const {
    for (const std::string& ending :
         {norm.shift.empty() ? "bias" : norm.shift, std::string("beta")})
      if (const TensorInfo* shift = checkpoint_.find(stem + "." + ending)) return shift->name;
    return {};
  }

  void add(const TensorInfo& scale, const std::string& shift, const std::string& stem,
           const PlacedNorms::Found& found) {
    const CataloguedNorm& norm = found.norm->norm;
    NormSite site;
    site.kind = norm.kind;
    site.weight = scale.name;
    site.weight_offset = norm.offset;
    site.eps = found.norm->eps;
    site.block = found.numbers.empty() ? -1 : found.numbers.front();
    site.is_final = norm.is_final;
    site.hidden_size = width(scale, norm.rows);
    if (!norm.rows && !shift.empty()) {
      require_like(scale, checkpoint_.at(shift));
      site.bias = shift;
    }
    add_readers(site, found);
    const std::int64_t heads = norm.rows ? scale.elements() / site.hidden_size : 1;
    for (std::int64_t head = 0; head < heads; ++head) {
      site.name = norm.rows ? fmt::format("{}.{}", stem, head) : stem;
      site.row = norm.rows ? head : -1;
      sites_.push_back(site);
      ++known_sites_;
      if (site.consumers.empty()) ++without_readers_;
      if (site.bias.empty() && !norm.shift.empty()) ++shiftless_;
    }
  }

  std::int64_t width(const TensorInfo& scale, bool rows) const {
    const auto& shape = scale.shape;
    const bool vector =
        std::count_if(shape.begin(), shape.end(), [](std::int64_t n) { return n != 1; }) <= 1;
    // Each head is a site, of some hundred bytes: a file of a few megabytes must not name millions.
    if (rows && shape.size() == 2 && shape[0] <= kMostParts && shape[1] > 0) return shape[1];
    if (!rows && vector && !shape.empty()) return scale.elements();
    throw MalformedError(fmt::format(
        "{}: norm {} has shape [{}], expected {}", checkpoint_.files()[scale.file].string(),
        in_quotes(scale.name), fmt::join(shape, ", "),
        rows ? fmt::format("[heads, width] with at most {} heads", kMostParts) : "one axis"));
  }
  void require_like(const TensorInfo& scale, const TensorInfo& shift) const {
    if (scale.elements() == shift.elements()) return;
    throw MalformedError(fmt::format("{}: tensor {}: shape [{}], expected [{}] as {} has",
                                     checkpoint_.files()[shift.file].string(),
                                     in_quotes(shift.name), fmt::join(shift.shape, ", "),
                                     fmt::join(scale.shape, ", "), in_quotes(scale.name)));
  }

  void add_readers(NormSite& site, const PlacedNorms::Found& found) const {
    const PlacedNorm& placed = *found.norm;
    bool all = true;
    const auto add = [&](const std::string& reader, bool tied) {
      const std::string stem = filled(
          reader.starts_with('/') ? reader.substr(1) : placed.prefix + reader, found.numbers);
      const TensorInfo* weight = checkpoint_.find(stem + ".weight");
      const bool fits =
          weight != nullptr && weight->shape.size() == 2 &&
          (weight->shape[0] == site.hidden_size || weight->shape[1] == site.hidden_size);
      all = all && fits;
      if (!fits) return;
      const bool transposed = weight->shape[1] != site.hidden_size;
      const std::int64_t width = weight->shape[transposed ? 1 : 0];
      const bool of_a_block = reader.find('{') != reader.npos;
      tied = tied || (!of_a_block && width == placed.tied_width);
      site.consumers.push_back(
          {stem, width, checkpoint_.find(stem + ".bias") != nullptr, tied, transposed});
    };
    for (const std::string& reader : placed.norm.reads) add(reader, false);
    for (const std::string& reader : placed.norm.tied) add(reader, true);
    site.feeds_residual = !(placed.norm.read_by_these_alone && all);
  }

  /// One norm at most: of a pattern with numbers, that of the largest.
  void mark_final() {
    NormSite* last = nullptr;
    for (NormSite& site : sites_)
      if (std::exchange(site.is_final, false)) last = &site;
    if (last == nullptr) return;
    last->is_final = true;
    std::rotate(sites_.begin() + (last - sites_.data()),
                sites_.begin() + (last - sites_.data()) + 1, sites_.end());
  }

  /// Blocks that lack a norm which the others have.
  void tell_gaps(std::vector<std::string>& notes) const {
    for (const auto& [container, patterns] : numbers_) {
      std::set<std::int64_t> all;
      for (const auto& [pattern, blocks] : patterns) all.insert(blocks.begin(), blocks.end());
      for (const auto& [pattern, blocks] : patterns) {
        if (in_some_.at(pattern) || blocks.size() == all.size()) continue;
        std::vector<std::string> missing;
        for (const std::int64_t block : all)
          if (!blocks.contains(block)) missing.push_back(std::to_string(block));
        notes.push_back(fmt::format("{}: absent in {} of {} blocks: {}", pattern, missing.size(),
                                    all.size(), first_few(missing)));
      }
    }
  }

  /// Tensors that are called as a norm's and are none of the type's.
  void tell_unknown(std::vector<std::string>& notes) const {
    std::map<std::string, std::size_t> unknown;
    for (const TensorInfo& tensor : checkpoint_.tensors())
      if (tensor.shape.size() == 1 && looks_like_norm(tensor.name) &&
          !known_stems_.contains(parent(tensor.name)))
        ++unknown[pattern_of(tensor.name)];
    if (unknown.empty()) return;
    std::vector<std::string> shown;
    for (const auto& [pattern, count] : unknown)
      shown.push_back(count == 1 ? pattern : fmt::format("{} ({})", pattern, count));
    notes.push_back(
        fmt::format("not predicted: named as norms, but not in the catalogue's entry "
                    "of this type: {}",
                    first_few(shown, 6)));
  }

  const PlacedNorms& placed_;
  const Checkpoint& checkpoint_;
  std::vector<NormSite> sites_;
  std::set<std::string, std::less<>> known_stems_;
  std::map<std::string, std::vector<std::string>> not_predicted_;  // stems by reason
  /// By what stands before the first number: patterns, and their first numbers.
  std::map<std::string, std::map<std::string, std::set<std::int64_t>>> numbers_;
  std::map<std::string, bool> in_some_;
  std::size_t known_sites_ = 0, without_readers_ = 0, shiftless_ = 0;
};

constexpr std::string_view kWayOut =
    "`predict` takes --norm layernorm|rmsnorm|layernorm1p, and Python's deadray.watch measures any "
    "PyTorch model";

CataloguedType type_of(const TypeCatalogue& catalogue, const Config& config) {
  const std::string name = config.text("model_type");
  const auto type = catalogue.find(name);
  if (type && type->failed.empty()) return *type;
  const std::string begin =
      fmt::format("{}: model_type {}", config.path().string(), in_quotes(name));
  if (type)
    throw UnsupportedError(fmt::format(
        "{} is known to transformers, but its norms are not to deadray: it could not be built from "
        "its default configuration ({}). {}",
        begin, type->failed, kWayOut));
  if (config.has("auto_map"))
    throw UnsupportedError(
        fmt::format("{}: its class is its own code (auto_map), which deadray does not run. {}",
                    begin, kWayOut));
  std::vector<std::string> known;
  for (const Family& family : families()) known.emplace_back(family.model_type);
  const std::string own = fmt::format("{}", fmt::join(known, ", "));
  for (const std::string& other : catalogue.names()) known.push_back(other);
  throw UnsupportedError(
      fmt::format("{} is unknown{}; known: {}, and those of `deadray models --all`. {}", begin,
                  did_you_mean(name, known, 1), own, kWayOut));
}

}  // namespace

CataloguedNorms find_norms(const TypeCatalogue& catalogue, const CataloguedType& type,
                           const Config& config, const Checkpoint& checkpoint) {
  CataloguedNorms result;
  const PlacedNorms placed(catalogue, type, config, result.notes);
  Collector collector(placed, checkpoint);
  result.sites = collector.sites();
  collector.tell(result.notes);
  return result;
}

CataloguedNorms catalogued_norms(const TypeCatalogue& catalogue, const Config& config,
                                 const Checkpoint& checkpoint) {
  const CataloguedType type = type_of(catalogue, config);
  CataloguedNorms result = find_norms(catalogue, type, config, checkpoint);
  if (config.has("auto_map"))
    result.notes.push_back(
        fmt::format("config.json names code of its own (auto_map): its norms are taken as those of "
                    "transformers' {}",
                    type.model_type));
  if (result.sites.empty())
    throw UnsupportedError(fmt::format(
        "{}: none of its {} tensors is the scale of a LayerNorm or an RMSNorm of a {}{}",
        checkpoint.path().string(), checkpoint.tensors().size(), in_quotes(type.model_type),
        result.notes.empty() ? "; is config.json the one of these weights?"
                             : fmt::format(" ({})", fmt::join(result.notes, "; "))));
  return result;
}

}  // namespace deadray
