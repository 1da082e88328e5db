#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "host/base/in_quotes.h"
#include "host/base/table/table.h"
#include "host/command/comparison/comparison_report.h"

namespace deadray {
namespace {

constexpr std::string_view kNothing = "–";

/// A norm of the first model in one of the others; null where that has none to compare.
using Beside = std::vector<const NormPair*>;

/// The comparisons of each norm of the first model, one for each further model.
std::vector<Beside> by_norm(const SeveralPredictions& several) {
  const auto& sites = several.predictions.front().sites;
  std::vector<Beside> all(sites.size(), Beside(several.pairs.size(), nullptr));
  for (std::size_t model = 0; model < several.pairs.size(); ++model)
    for (const NormPair& pair : several.pairs[model].norms) all[pair.norm][model] = &pair;
  return all;
}

/// "0.9731", and near 1 what is missing: "1-3.2e-09".
std::string cosine_cell(const NormPair* pair) {
  if (pair == nullptr || !pair->change.dead) return std::string(kNothing);
  const Alignment& dead = *pair->change.dead;
  if (dead.one_minus_abs_cos == 0.0) return "1";
  return dead.one_minus_abs_cos < 1e-3 ? fmt::format("1-{:.1e}", dead.one_minus_abs_cos)
                                       : fmt::format("{:.4f}", dead.abs_cos);
}

/// "1.7e-03", and "0" for what is no change at all.
std::string small_cell(double value) { return value == 0.0 ? "0" : fmt::format("{:.1e}", value); }

std::string change_cell(const NormPair* pair) {
  return pair != nullptr ? small_cell(pair->change.gamma) : std::string(kNothing);
}

std::string label_cell(const SeveralPredictions& several, std::size_t model) {
  return on_one_line(several.series.labels[model], 40);
}

/// The comparison in which a dead subspace lies farthest from the first model's.
struct Farthest {
  const NormPair* pair = nullptr;  ///< null where there is no dead subspace
  std::size_t model = 0;

  double distance() const { return pair != nullptr ? pair->change.dead->one_minus_abs_cos : -1.0; }
};

Farthest farthest(const Beside& others) {
  Farthest found;
  for (std::size_t i = 0; i < others.size(); ++i) {
    if (others[i] == nullptr || !others[i]->change.dead) continue;
    const Farthest other{others[i], i + 1};
    if (other.distance() > found.distance()) found = other;
  }
  return found;
}

/// "1", or "1…3" over the models.
std::string dead_cell(const SitePrediction& first, const Beside& others) {
  std::int64_t least = first.subspace.dimension, most = least;
  for (const NormPair* pair : others)
    if (pair != nullptr) {
      least = std::min(least, pair->dimensions[1]);
      most = std::max(most, pair->dimensions[1]);
    }
  return least == most ? fmt::format("{}", least) : fmt::format("{}…{}", least, most);
}

double least_gamma(const SitePrediction& first, const Beside& others) {
  double least = first.subspace.gamma_min;
  for (const NormPair* pair : others)
    if (pair != nullptr) least = std::min(least, pair->gamma_min[1]);
  return least;
}

/// "2 of 3": in how many of the models the parameters suggest a LayerNorm.
std::string evidence_cell(const SeveralPredictions& several, const SitePrediction& first,
                          const Beside& others) {
  const auto suggests = [](const Prediction& prediction, const std::string& name) {
    const auto site = std::find_if(prediction.sites.begin(), prediction.sites.end(),
                                   [&](const auto& s) { return s.site.name == name; });
    return site->evidence->suggested == NormKind::layernorm;
  };
  int models = 1, layernorms = suggests(several.predictions.front(), first.site.name) ? 1 : 0;
  for (std::size_t i = 0; i < others.size(); ++i)
    if (others[i] != nullptr) {
      ++models;
      layernorms += suggests(several.predictions[i + 1], others[i]->name_there) ? 1 : 0;
    }
  return fmt::format("layernorm in {} of {}", layernorms, models);
}

/// A row for each norm of the first model.
Table table_of_norms(const SeveralPredictions& several, const std::vector<Beside>& norms) {
  const auto& sites = several.predictions.front().sites;
  const bool many = several.pairs.size() > 1, classified = sites.front().evidence.has_value();
  std::vector<Column> columns{{"norm"}, {"kind"}, {"d", Align::right}, {"dead", Align::right}};
  if (many) columns.insert(columns.end(), {{"least |cos|", Align::right}, {"at"}});
  columns.insert(columns.end(), {{many ? "last |cos|" : "|cos|", Align::right},
                                 {many ? "last change" : "change", Align::right},
                                 {"least |gamma|", Align::right}});
  if (classified) columns.push_back({"from parameters"});
  Table table(columns);
  for (std::size_t i = 0; i < norms.size(); ++i) {
    const NormSite& site = sites[i].site;
    std::vector<std::string> row{on_one_line(site.name, 60), std::string(to_string(site.kind)),
                                 fmt::format("{}", site.hidden_size),
                                 dead_cell(sites[i], norms[i])};
    if (many) {
      const Farthest far = farthest(norms[i]);
      row.push_back(cosine_cell(far.pair));
      row.push_back(far.distance() > 0.0 ? label_cell(several, far.model) : std::string(kNothing));
    }
    row.push_back(cosine_cell(norms[i].back()));
    row.push_back(change_cell(norms[i].back()));
    row.push_back(fmt::format("{:.2g}", least_gamma(sites[i], norms[i])));
    if (classified) row.push_back(evidence_cell(several, sites[i], norms[i]));
    table.add_row(std::move(row));
  }
  return table;
}

/// A row for each model, of the one norm that was asked for.
Table table_of_models(const SeveralPredictions& several, const Beside& others) {
  const SitePrediction& first = several.predictions.front().sites.front();
  const bool classified = first.evidence.has_value();
  std::vector<Column> columns{{"model"},
                              {"dead", Align::right},
                              {"|cos|", Align::right},
                              {"angle", Align::right},
                              {"change", Align::right},
                              {"|gamma|", Align::right}};
  if (classified) columns.push_back({"from parameters"});
  Table table(columns);
  for (std::size_t model = 0; model <= others.size(); ++model) {
    const auto& sites = several.predictions[model].sites;
    const NormPair* pair = model > 0 ? others[model - 1] : nullptr;
    std::vector<std::string> row(columns.size(), std::string(kNothing));
    row[0] = label_cell(several, model);
    if (!sites.empty()) {
      const DeadSubspace& s = sites.front().subspace;
      row[1] = fmt::format("{}", s.dimension);
      row[2] = cosine_cell(pair);
      if (pair != nullptr && pair->change.dead) row[3] = small_cell(pair->change.dead->angle);
      row[4] = change_cell(pair);
      row[5] = fmt::format("{:.2g}…{:.2g}", s.gamma_min, s.gamma_max);
      if (classified)
        row[6] = sites.front().evidence->suggested ? to_string(*sites.front().evidence->suggested)
                                                   : kNothing;
    }
    table.add_row(std::move(row));
  }
  return table;
}

std::string legend_of(const SeveralPredictions& several) {
  return fmt::format(
      "Each model beside the first, {}. |cos|: of their dead directions, 1/gamma to unit length, "
      "which an RMSNorm has not; where gamma is\n"
      "practically zero of the spans of those coordinates, by their largest principal angle. "
      "1-2e-09 is 1 minus 2e-09.\n"
      "change: |gamma - first gamma| / |first gamma|.\n",
      label_cell(several, 0));
}

/// Where a norm has more scales that are practically zero than in any model before.
std::string openings_of(const SeveralPredictions& several, const std::vector<Beside>& norms) {
  std::vector<std::string> openings;
  for (const Beside& others : norms) {
    std::optional<std::int64_t> most;
    for (std::size_t i = 0; i < others.size(); ++i) {
      if (others[i] == nullptr) continue;
      const auto [first, here] = others[i]->coordinates;
      if (!most) most = first;
      if (here > *most)
        openings.push_back(fmt::format(
            "{} of {} ({} before) at {}", here,
            on_one_line(several.predictions.front().sites[others[i]->norm].site.name, 60), *most,
            label_cell(several, i + 1)));
      most = std::max(*most, here);
    }
  }
  constexpr std::size_t kShown = 4;
  if (openings.empty()) return "";
  std::string text = "\ndead coordinates open: ";
  for (std::size_t i = 0; i < std::min(openings.size(), kShown); ++i)
    text += (i > 0 ? ", " : "") + openings[i];
  if (openings.size() > kShown) text += fmt::format(" and {} more", openings.size() - kShown);
  return text;
}

std::string summary_of(const SeveralPredictions& several, const std::vector<Beside>& norms) {
  std::uint64_t bytes = 0;
  double seconds = 0;
  for (const Prediction& p : several.predictions) {
    bytes += p.bytes_read;
    seconds += p.seconds_open + p.seconds_read + p.seconds_predict;
  }
  Farthest far;
  std::size_t compared = 0;
  for (const Beside& others : norms) {
    compared += std::any_of(others.begin(), others.end(), [](auto* p) { return p != nullptr; });
    if (const Farthest one = farthest(others); one.distance() > far.distance()) far = one;
  }
  std::string text = fmt::format("{} models{}, {} norm{} compared", several.predictions.size(),
                                 several.series.steps.empty() ? "" : ", sorted by their numbers",
                                 compared, compared == 1 ? "" : "s");
  if (far.pair != nullptr) text += "; least |cos| " + cosine_cell(far.pair);
  if (far.distance() > 0.0)
    text += fmt::format(
        ": {} of {}", on_one_line(several.predictions.front().sites[far.pair->norm].site.name, 60),
        label_cell(several, far.model));
  text += openings_of(several, norms);
  return text + fmt::format("\n{} bytes read, {:.0f} µs to open, read and predict\n", bytes,
                            seconds * 1e6);
}

}  // namespace

std::string to_text(const SeveralPredictions& several, bool coloured) {
  const std::vector<Beside> norms = by_norm(several);
  const Table table =
      norms.size() == 1 ? table_of_models(several, norms.front()) : table_of_norms(several, norms);
  return table.render(coloured) + "\n" + legend_of(several) + summary_of(several, norms);
}

}  // namespace deadray
