#include "verify/record/narrative.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "host/base/in_quotes.h"
#include "host/base/table/table.h"
#include "host/base/time_text.h"
#include "verify/base/dtypes.h"

namespace deadray {

namespace {

std::string figure(const std::optional<double>& value) {
  return value ? fmt::format("{:.1e}", *value) : "-";
}

/// The number that decides: the least principal cosine of the predicted space, or the chance cosine
/// where nothing is predicted.
std::string cosine(const SiteResult& result, const std::optional<Reading>& reading) {
  if (!reading) return "-";
  if (!reading->principal_cosines.empty())
    return fmt::format("{:.6f}", *std::min_element(reading->principal_cosines.begin(),
                                                   reading->principal_cosines.end()));
  if (!reading->abs_cos) return "-";
  return result.predicted.dimension == 0 && reading->chance_p
             ? fmt::format("{:.3f} (p = {:.2g})", *reading->abs_cos, *reading->chance_p)
             : fmt::format("{:.6f}", *reading->abs_cos);
}

std::string variance(const std::optional<Reading>& reading) {
  return reading ? figure(reading->lambda_v) : "-";
}

/// "1", or "1 + 223" where the norm's input brings 223 more along.
std::string dead_directions(const SiteResult& result) {
  return result.inherited == 0
             ? std::to_string(result.predicted.dimension)
             : fmt::format("{} + {}", result.predicted.dimension, result.inherited);
}

std::string sites_table(const Measurement& measurement, bool coloured) {
  Table table({{"norm"},
               {"kind"},
               {"d", Align::right},
               {"dead", Align::right},
               {"|cos| exact", Align::right},
               {"|cos| deployed", Align::right},
               {"variance exact", Align::right},
               {"deployed", Align::right},
               {"next", Align::right},
               {"verdict"}});
  for (const SiteResult& result : measurement.sites) {
    const Reading& decisive = result.decisive();
    const double next = decisive.random_variance.value_or(decisive.eigenvalues.next);
    table.add_row({result.site.name, std::string(to_string(result.site.kind)),
                   std::to_string(result.site.hidden_size), dead_directions(result),
                   cosine(result, result.exact), cosine(result, result.deployed),
                   variance(result.exact), variance(result.deployed), figure(next),
                   std::string(to_string(result.judgement.verdict))});
  }
  return table.render(coloured);
}

/// What the columns mean, for a reader who has not met the paper.
std::string legend(const Measurement& measurement) {
  std::string text =
      "dead: dimensions predicted from gamma alone. |cos|: cosine between the predicted directions "
      "and the bottom eigenvectors of the measured\n"
      "covariance; 1 is agreement. variance: along the predicted directions; next: the smallest of "
      "all others. exact: the norm recomputed in FP64;\n"
      "deployed: the activations as the model's own dtype rounds them.\n";
  const auto nothing_predicted = [](const SiteResult& result) {
    return result.predicted.dimension == 0;
  };
  if (std::any_of(measurement.sites.begin(), measurement.sites.end(), nothing_predicted))
    text +=
        "Where none is predicted |cos| is that of 1/gamma, a control that decides nothing (p: a "
        "random direction reaches it); `next` against the\n"
        "rounding floor decides.\n";
  const auto inherits = [](const SiteResult& result) { return result.inherited > 0; };
  if (std::any_of(measurement.sites.begin(), measurement.sites.end(), inherits))
    text +=
        "dead + n: the rows that enter the norm leave directions out, and so n more of its output "
        "are null. |cos| and next count them where they explain all.\n";
  return text;
}

/// The verdicts that want words, and what more there is to say of the final norm.
std::string remarks(const Measurement& measurement) {
  std::string text;
  for (const SiteResult& result : measurement.sites) {
    const bool noteworthy = measurement.sites.size() == 1 || result.site.is_final ||
                            result.judgement.verdict == Verdict::refuted ||
                            result.judgement.verdict == Verdict::undetermined;
    if (noteworthy)
      text += fmt::format("{}: {}: {}\n", on_one_line(result.site.name),
                          to_string(result.judgement.verdict), result.judgement.reason);
    if (!result.site.is_final) continue;
    const Reading& reading = result.decisive();
    if (reading.below.size() == 4)
      text += fmt::format("  eigenvalues below 1e-4, 1e-6, 1e-8, 1e-10 of their mean: {}\n",
                          fmt::join(reading.below, ", "));
    if (result.schur_input)
      text += fmt::format(
          "  share of the direction's variance that the other coordinates explain (Schur ratio, "
          "reconstructed): norm input {:.4f}, null {:.4f}\n",
          *result.schur_input, result.schur_null);
  }
  return text;
}

std::string residual_text(const std::optional<ResidualSpectrum>& residual) {
  if (!residual) return {};
  const std::string verdict = !residual->preserved   ? "undetermined"
                              : *residual->preserved ? "preserved"
                                                     : "not preserved";
  std::string text = fmt::format("Residual stream: {} ({}).\n", verdict, residual->reason);
  if (!residual->reference) return text;
  std::vector<std::string> ratios;
  for (const double ratio : residual->ratio)
    ratios.push_back(std::isnan(ratio) ? "-" : fmt::format("{:.2f}", ratio));
  const std::string reference =
      *residual->reference == 0
          ? "the embeddings"
          : fmt::format("node {}, the first that is no LayerNorm's output", *residual->reference);
  text += fmt::format("  smallest singular value over that of {}, by block: {}\n", reference,
                      fmt::join(ratios, " "));
  if (!residual->restricted.empty())
    text += fmt::format("  along the {} directions that exist there; all others are 0 there\n",
                        residual->rank.value_or(0));
  if (!residual->excluded.empty())
    text += "  -: a LayerNorm's output, whose smallest singular value is 0 by construction\n";
  return text;
}

std::string summary(const Measurement& measurement) {
  std::vector<std::string> counts;
  for (const Verdict verdict :
       {Verdict::confirmed, Verdict::absent, Verdict::refuted, Verdict::undetermined}) {
    const auto count = std::count_if(
        measurement.sites.begin(), measurement.sites.end(),
        [&](const SiteResult& result) { return result.judgement.verdict == verdict; });
    if (count > 0) counts.push_back(fmt::format("{} {}", count, to_string(verdict)));
  }
  const Seconds& seconds = measurement.seconds;
  return fmt::format(
      "{} of {}. Predicting took {}; measuring {} (weights {}, forward {}, covariance {}, spectrum "
      "{}): {:.1e} times as long, weights not counted.\n",
      fmt::join(counts, ", "),
      measurement.sites.size() == 1 ? "1 norm" : fmt::format("{} norms", measurement.sites.size()),
      duration(seconds.predict), duration(seconds.total), duration(seconds.load),
      duration(seconds.forward), duration(seconds.moments), duration(seconds.spectrum),
      (seconds.total - seconds.load) / std::max(seconds.predict, 1e-9));
}

std::string calibration_text(const RecordHeader& header) {
  const bool random = header.drawn_at_random, pixels = !header.pixels.empty();
  std::string text = fmt::format(
      "{} rows from {}", header.rows,
      random ? (pixels ? "random pixels" : "random tokens") : on_one_line(header.calibration));
  if (random) text += fmt::format(", seed {}", header.seed);
  if (const std::string left_out = left_out_text(header); !left_out.empty())
    text += fmt::format(" ({} tokens: {})", header.tokens, left_out);
  if (pixels) {
    const auto size = header.pixels.end() - 2;
    const std::string frames =
        header.pixels.size() == 5 ? fmt::format(" of {} frames", header.pixels[1]) : "";
    return text + fmt::format(", {} {}{}, {} by {}, {} tokens each", header.pixels[0],
                              frames.empty() ? "pictures" : "clips", frames, size[0], size[1],
                              header.sequence_length);
  }
  return header.sequence_length > 0
             ? text + fmt::format(", sequences of {}", header.sequence_length)
             : text;
}

}  // namespace

std::string narrate(const RecordHeader& header, const Measurement& measurement, bool coloured) {
  std::string text = fmt::format("{}: {}", on_one_line(header.name), on_one_line(header.family));
  if (header.parameters >= 1'000'000)
    text +=
        fmt::format(", {:.4g} million parameters", static_cast<double>(header.parameters) / 1e6);
  else if (header.parameters > 0)
    text += fmt::format(", {} parameters", header.parameters);
  if (header.source == Source::checkpoint) text += ", trained weights";
  if (header.source == Source::random) text += ", drawn at random";
  text += fmt::format(", {}; {}", long_name(header.dtype), calibration_text(header));
  return text + "\n\n" + sites_table(measurement, coloured) + "\n" + legend(measurement) +
         remarks(measurement) + residual_text(measurement.residual) + summary(measurement);
}

}  // namespace deadray
