#include "verify/calibration/default_calibration.h"

#include <fmt/format.h>

#include <algorithm>

#include "host/base/error.h"
#include "verify/calibration/pixels.h"
#include "verify/calibration/tokens.h"

namespace deadray {

std::int64_t default_tokens(std::int64_t hidden_size) {
  constexpr std::int64_t kLeast = 4096;
  return std::max(hidden_size + (hidden_size + 3) / 4, kLeast);
}

namespace {

/// Sequences that the wanted number of tokens needs. By default it is of those that count.
std::int64_t wanted_sequences(const CalibrationRequest& request, std::int64_t hidden_size,
                              std::int64_t length) {
  if (request.batch > 0) return request.batch;
  if (request.random_tokens > 0) return (request.random_tokens - 1) / length + 1;
  const std::int64_t counted = std::max<std::int64_t>(1, length - request.skip_tokens);
  return (default_tokens(hidden_size) - 1) / counted + 1;
}

Calibration make_pixels(const PatchInput& input, std::int64_t hidden_size, const std::string& name,
                        const CalibrationRequest& request) {
  const std::int64_t length = tokens_of_each(input);
  if (request.sequence_length > 0)
    throw UsageError(
        fmt::format("sequence length {}: {} reads pixels, and makes {} tokens of each {}; give "
                    "their number with --batch, or another size in a file with --tokens",
                    request.sequence_length, name, length, pixel_unit(input)));
  return random_pixels(input, request.seed, wanted_sequences(request, hidden_size, length));
}

/// What the request asks for, before tokens are skipped.
Calibration read_or_draw(const Architecture& architecture, const std::string& name,
                         const CalibrationRequest& request) {
  if (!request.tokens.empty())
    return read_tokens(request.tokens, architecture,
                       {request.batch, request.sequence_length, request.checkpoint});
  if (architecture.patches)
    return make_pixels(*architecture.patches, architecture.hidden_size, name, request);
  std::int64_t length =
      request.sequence_length > 0 ? request.sequence_length : request.default_length;
  const std::int64_t longest = architecture.max_positions;
  if (longest > 0 && length > longest) {
    if (request.sequence_length > 0)
      throw UsageError(fmt::format("sequence length {}: {} takes sequences of at most {} tokens",
                                   length, name, longest));
    length = longest;
  }
  return random_tokens(architecture, request.seed,
                       wanted_sequences(request, architecture.hidden_size, length), length);
}

void skip_tokens(Calibration& calibration, std::int64_t count) {
  calibration.skip = count;
  if (count >= calibration.length())
    throw UsageError(
        fmt::format("skipping {} tokens: sequences of {} leave none; give fewer with "
                    "--skip-tokens",
                    count, calibration.length()));
  if (calibration.rows() == 0)
    throw UsageError(
        fmt::format("skipping {} tokens: no sequence has more that attention_mask "
                    "keeps; give fewer with --skip-tokens",
                    count));
}

}  // namespace

Calibration make_calibration(const Architecture& architecture, const std::string& name,
                             const CalibrationRequest& request) {
  if (request.skip_tokens > 0 && architecture.patches)
    throw UsageError(
        fmt::format("skipping {} tokens: {} reads pixels, whose tokens have no beginning; leave "
                    "--skip-tokens out",
                    request.skip_tokens, name));
  Calibration calibration = read_or_draw(architecture, name, request);
  if (request.skip_tokens > 0) skip_tokens(calibration, request.skip_tokens);
  return calibration;
}

}  // namespace deadray
