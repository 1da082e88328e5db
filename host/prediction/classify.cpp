#include "host/prediction/classify.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <span>
#include <vector>

#include "host/architecture/norm_parameters.h"

namespace deadray {
namespace {

constexpr std::size_t kDraws = 200;
constexpr std::int64_t kPieceBytes = 4 << 20;

/// sum_j |W_j D_gamma r|^2 for r = 1 and for random r with |r|^2 = d, over all consumers, and |W
/// D_gamma|_F^2.
struct Shares {
  std::size_t hidden_size;
  std::vector<double> directions;  // [1 + kDraws, hidden_size], each times gamma
  std::vector<double> squares = std::vector<double>(1 + kDraws, 0.0);
  double frobenius = 0.0;

  Shares(std::span<const double> gamma, std::uint64_t seed)
      : hidden_size(gamma.size()), directions((1 + kDraws) * gamma.size(), 1.0) {
    std::mt19937_64 generator(seed);
    std::normal_distribution<double> normal;
    for (std::size_t k = 0; k <= kDraws; ++k) {
      const std::span r(&directions[k * hidden_size], hidden_size);
      double square = 0.0;
      for (double& x : r) {
        if (k > 0) x = normal(generator);
        square += x * x;
      }
      const double scale = std::sqrt(static_cast<double>(hidden_size) / square);
      for (std::size_t i = 0; i < hidden_size; ++i) r[i] *= scale * gamma[i];
    }
  }

  std::span<const double> direction(std::size_t k) const {
    return {&directions[k * hidden_size], hidden_size};
  }
};

double dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0.0;
  // The order of the sum is free.
#pragma omp simd reduction(+ : sum)
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// Calls visit(index, row) for each row of a matrix [rows, columns], read piece by piece.
template <class Visit>
void for_each_row(const Checkpoint& checkpoint, const TensorInfo& tensor, Visit visit) {
  const std::int64_t rows = tensor.shape[0], columns = tensor.shape[1];
  const auto row_bytes = columns * static_cast<std::int64_t>(size_of(tensor.dtype));
  const std::int64_t piece =
      std::clamp<std::int64_t>(kPieceBytes / std::max<std::int64_t>(row_bytes, 1), 1, rows);
  std::vector<std::byte> bytes(static_cast<std::size_t>(piece * row_bytes));
  std::vector<double> values(static_cast<std::size_t>(piece * columns));
  for (std::int64_t first = 0; first < rows; first += piece) {
    const std::int64_t count = std::min(piece, rows - first);
    const auto elements = static_cast<std::size_t>(count * columns);
    checkpoint.read(tensor, first * columns, count * columns, bytes.data());
    widen(tensor.dtype, std::span(bytes).first(elements * size_of(tensor.dtype)),
          std::span(values).first(elements));
    for (std::int64_t r = 0; r < count; ++r)
      visit(static_cast<std::size_t>(first + r),
            std::span<const double>(&values[static_cast<std::size_t>(r * columns)],
                                    static_cast<std::size_t>(columns)));
  }
}

/// W [outputs, hidden_size]: each row is one output.
void add_rows_of_outputs(Shares& shares, const Checkpoint& checkpoint, const TensorInfo& weight,
                         std::span<const double> gamma) {
  for_each_row(checkpoint, weight, [&](std::size_t, std::span<const double> row) {
    for (std::size_t k = 0; k <= kDraws; ++k) {
      const double y = dot(row, shares.direction(k));
      shares.squares[k] += y * y;
    }
    for (std::size_t i = 0; i < row.size(); ++i)
      shares.frobenius += row[i] * row[i] * gamma[i] * gamma[i];
  });
}

/// W^T [hidden_size, outputs], as GPT-2 stores it: each row is one input's share of every output.
void add_rows_of_inputs(Shares& shares, const Checkpoint& checkpoint, const TensorInfo& weight,
                        std::span<const double> gamma) {
  const auto outputs = static_cast<std::size_t>(weight.shape[1]);
  std::vector<double> y((1 + kDraws) * outputs, 0.0);
  for_each_row(checkpoint, weight, [&](std::size_t i, std::span<const double> row) {
    for (std::size_t k = 0; k <= kDraws; ++k) {
      const double factor = shares.direction(k)[i];
      double* out = &y[k * outputs];
#pragma omp simd
      for (std::size_t j = 0; j < outputs; ++j) out[j] += factor * row[j];
    }
    shares.frobenius += gamma[i] * gamma[i] * dot(row, row);
  });
  for (std::size_t k = 0; k <= kDraws; ++k) {
    const std::span<const double> out(&y[k * outputs], outputs);
    shares.squares[k] += dot(out, out);
  }
}

/// The consumer's weight, or nullptr when it is not stored as a plain matrix.
const TensorInfo* weight_of(const Checkpoint& checkpoint, const Consumer& consumer) {
  const TensorInfo* weight = checkpoint.find(consumer.name + ".weight");
  return weight != nullptr && weight->shape.size() == 2 && is_plain_float(weight->dtype) &&
                 weight->elements() > 0
             ? weight
             : nullptr;
}

}  // namespace

std::string_view to_string(NormEvidence::Source source) noexcept {
  switch (source) {
    case NormEvidence::Source::beta:
      return "beta";
    case NormEvidence::Source::consumers:
      return "consumers";
    case NormEvidence::Source::none:
      break;
  }
  return "none";
}

NormEvidence classify_norm(const Checkpoint& checkpoint, const NormSite& site,
                           const NormParameters& norm, std::uint64_t seed) {
  NormEvidence evidence;
  if (!norm.beta.empty()) {
    evidence.source = NormEvidence::Source::beta;
    evidence.suggested = NormKind::layernorm;
    return evidence;
  }
  Shares shares(norm.gamma, seed);
  for (const Consumer& consumer : site.consumers) {
    const TensorInfo* weight = weight_of(checkpoint, consumer);
    if (weight == nullptr) continue;
    // A square weight counts as [outputs, inputs], nn.Linear's way: no family at hand stores a
    // square consumer the other way.
    if (weight->shape[1] == site.hidden_size)
      add_rows_of_outputs(shares, checkpoint, *weight, norm.gamma);
    else if (weight->shape[0] == site.hidden_size)
      add_rows_of_inputs(shares, checkpoint, *weight, norm.gamma);
  }
  if (!(shares.frobenius > 0.0) || !std::isfinite(shares.frobenius)) return evidence;
  evidence.source = NormEvidence::Source::consumers;
  evidence.rho = shares.squares[0] / shares.frobenius;
  std::sort(shares.squares.begin() + 1, shares.squares.end());
  constexpr std::size_t kTail = kDraws / 40;  // 2.5 %
  evidence.null_low = shares.squares[1 + kTail] / shares.frobenius;
  evidence.null_high = shares.squares[kDraws - kTail] / shares.frobenius;
  if (evidence.rho < evidence.null_low || evidence.rho > evidence.null_high)
    evidence.suggested = NormKind::layernorm;
  return evidence;
}

}  // namespace deadray
