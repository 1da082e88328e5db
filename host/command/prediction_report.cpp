#include "host/command/prediction_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string_view>
#include <vector>

#include "host/base/in_quotes.h"
#include "host/base/table/table.h"
#include "host/formats/safetensors_writer.h"

namespace deadray {
namespace {

/// "3, 17, 40, … (12)"
std::string first_few(std::span<const std::int64_t> coordinates) {
  constexpr std::size_t kShown = 3;
  if (coordinates.empty()) return "–";
  if (coordinates.size() <= kShown) return fmt::format("{}", fmt::join(coordinates, ", "));
  return fmt::format("{}, … ({})", fmt::join(coordinates.first(kShown), ", "), coordinates.size());
}

std::string dead_parameters_cell(const SitePrediction& prediction) {
  if (prediction.consumers.empty()) return "–";
  std::int64_t count = 0;
  for (const DeadParameters& consumer : prediction.consumers) count += consumer.count;
  return fmt::format("{}", count);
}

std::string evidence_cell(const NormEvidence& evidence) {
  switch (evidence.source) {
    case NormEvidence::Source::beta:
      return "layernorm: has beta";
    case NormEvidence::Source::consumers:
      return fmt::format("rho {:.3f}, null {:.3f}…{:.3f}", evidence.rho, evidence.null_low,
                         evidence.null_high);
    case NormEvidence::Source::none:
      break;
  }
  return "–";
}

Table table_of(const Prediction& prediction, bool classified) {
  std::vector<Column> columns{{"norm"},
                              {"kind"},
                              {"d", Align::right},
                              {"dead", Align::right},
                              {"coordinates"},
                              {"constant", Align::right},
                              {"|gamma|", Align::right},
                              {"floor", Align::right},
                              {"dead parameters", Align::right}};
  if (classified) columns.push_back({"from parameters"});
  Table table(columns);
  for (const SitePrediction& p : prediction.sites) {
    const DeadSubspace& s = p.subspace;
    std::vector<std::string> row{
        on_one_line(p.site.name, 60),
        std::string(to_string(p.site.kind)),
        fmt::format("{}", p.site.hidden_size),
        fmt::format("{}", s.dimension),
        first_few(s.coordinates),
        s.constant ? fmt::format("{:.4g}", *s.constant) : "–",
        fmt::format("{:.2g}…{:.2g}", s.gamma_min, s.gamma_max),
        s.deployed_floor > 0.0 ? fmt::format("{:.1e}", s.deployed_floor) : "–",
        dead_parameters_cell(p)};
    if (classified) row.push_back(p.evidence ? evidence_cell(*p.evidence) : "–");
    table.add_row(std::move(row));
  }
  return table;
}

/// What the columns mean, for a reader who has not met the paper.
constexpr std::string_view kLegend =
    "dead: directions of the norm's output without variance, whatever the input: 1/gamma, or where "
    "gamma is practically zero those coordinates.\n"
    "constant: what <1/gamma, output> equals for every input. floor: least variance that rounding "
    "to the model's dtype leaves along them.\n"
    "dead parameters: directions in the weights of the maps that read the norm which change no "
    "output (each of their outputs gives one, by 1/gamma;\n"
    "coordinates that are exactly zero give one each).\n";

std::string plural(std::int64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

/// What is known of the parameters' directions.
std::string parameters_text(const Prediction& p) {
  if (p.family.empty()) return " predicted; of parameters: not known for this architecture";
  const auto unread = [](const SitePrediction& s) { return s.consumers.empty(); };
  if (std::all_of(p.sites.begin(), p.sites.end(), unread))
    return " predicted; of parameters: no map that reads them is known";
  return fmt::format(" and {} of parameters predicted; local learning coefficient lower by {}",
                     p.dead_parameter_directions,
                     static_cast<double>(p.dead_parameter_directions) / 2);
}

std::string summary_of(const Prediction& p) {
  const auto norms = static_cast<std::int64_t>(p.sites.size());
  const auto is_rms = [](const SitePrediction& s) { return s.site.kind == NormKind::rmsnorm; };
  std::string text = fmt::format("{}: {}, ", on_one_line(p.name, 100), plural(norms, "norm"));
  if (p.dead_directions == 0) {
    text += "no dead direction predicted";
    if (std::all_of(p.sites.begin(), p.sites.end(), is_rms))
      text += ": an RMSNorm does not subtract the mean, so none of its directions is fixed";
  } else {
    text += fmt::format("{} of activations{}", plural(p.dead_directions, "dead direction"),
                        parameters_text(p));
  }
  text += fmt::format(
      "\n"
      "{} bytes read: {:.0f} µs to open, {:.0f} µs for the norms; {:.1f} µs to predict\n",
      p.bytes_read, p.seconds_open * 1e6, p.seconds_read * 1e6, p.seconds_predict * 1e6);
  return text;
}

}  // namespace

std::string to_text(const Prediction& prediction, bool coloured) {
  const bool classified = std::any_of(prediction.sites.begin(), prediction.sites.end(),
                                      [](const auto& s) { return s.evidence.has_value(); });
  return table_of(prediction, classified).render(coloured) + "\n" + std::string(kLegend) +
         summary_of(prediction);
}

void write_directions(const std::filesystem::path& file, const Prediction& prediction) {
  const auto has_direction = [](const SitePrediction& p) {
    return p.site.kind == NormKind::layernorm && !p.subspace.inverse.empty();
  };
  std::vector<TensorDeclaration> tensors;
  for (const SitePrediction& p : prediction.sites)
    if (has_direction(p)) tensors.push_back({p.site.name, DType::f64, {p.site.hidden_size}});
  SafetensorsWriter writer(file, tensors);
  for (const SitePrediction& p : prediction.sites) {
    if (!has_direction(p)) continue;
    const std::vector<double> direction = p.subspace.direction();
    writer.append(std::as_bytes(std::span(direction)));
  }
  writer.finish();
}

}  // namespace deadray
