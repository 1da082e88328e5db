#include "verify/directional/logit_fisher.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <vector>

#include "host/base/stop_signals.h"
#include "verify/base/tensors.h"
#include "verify/layers/linear.h"
#include "verify/layers/output_stage.h"

namespace deadray {

namespace {

constexpr std::int64_t kTileEntries = 4096;  // of the vocabulary, where nothing else decides

/// Rows [first, first + count) of the decoder.
struct VocabularyTile {
  std::int64_t first;
  at::Tensor weight;  // [count, d]
  Parameter bias;     // [count], or undefined
};

void for_each_tile(const Architecture& architecture, const Weights& weights, at::ScalarType dtype,
                   std::int64_t entries, const std::function<void(const VocabularyTile&)>& f) {
  const LinearSpec decoder = stored_decoder(architecture);
  const TensorSpec& spec = decoder.weights[0];
  const Parameter bias =
      decoder.biases.empty() ? Parameter{} : load_parameter(weights, decoder.biases[0], -1, dtype);
  const std::int64_t vocabulary = decoder.outputs,
                     step = std::min(vocabulary, std::max<std::int64_t>(16, entries));
  for (std::int64_t first = 0; first < vocabulary; first += step) {
    throw_if_stopped();
    const std::int64_t count = std::min(step, vocabulary - first);
    const at::Tensor rows = weights.empty({count, decoder.inputs}, dtype);
    weights.read_rows(spec, at::arange(first, first + count, at::kLong), rows);
    const auto of_tile = [&](const at::Tensor& all) {
      return all.defined() ? all.narrow(-1, first, count) : all;
    };
    f({first, rows, {of_tile(bias.value), of_tile(bias.tangents)}});
  }
}

/// What the decoder itself moves along.
class DecoderTangents {
 public:
  DecoderTangents(const Architecture& architecture, const Weights& weights)
      : decoder_(stored_decoder(architecture)), weights_(weights) {}

  bool any() const {
    for (const Weights* source : weights_.tangents())
      if (moves(*source, decoder_.weights) || moves(*source, decoder_.biases)) return true;
    return false;
  }
  /// Adds h dW_k^T + db_k, of the tile's rows of the decoder.
  /// @param j  [K, n, count]   @param h  [n, d]
  void add(const at::Tensor& j, const at::Tensor& h, const VocabularyTile& tile) const {
    const auto sources = weights_.tangents();
    const at::Tensor ids = at::arange(tile.first, tile.first + j.size(2), at::kLong);
    for (std::size_t k = 0; k < sources.size(); ++k) {
      if (!moves(*sources[k], decoder_.weights)) continue;
      const at::Tensor rows = at::empty_like(tile.weight);
      sources[k]->read_rows(decoder_.weights[0], ids, rows);
      j[static_cast<std::int64_t>(k)].addmm_(h, rows.t());
    }
    if (tile.bias.tangents.defined()) j.add_(tile.bias.tangents.unsqueeze(1));
  }

 private:
  static bool moves(const Weights& source, const std::vector<TensorSpec>& of_decoder) {
    return !of_decoder.empty() && source.moves(of_decoder[0], -1);
  }

  LinearSpec decoder_;
  const Weights& weights_;
};

/// Logits and their slopes by W h + bias, FP64: cap(scale z), scale cap'(scale z).
struct Logits {
  at::Tensor value, slope;  // [n, count]; slope undefined: `scale` throughout
};

Logits logits_of(const HeadSpec& head, const at::Tensor& h, const VocabularyTile& tile) {
  at::Tensor z = at::linear(h, tile.weight, tile.bias.value).to(at::kDouble);
  if (head.scale != 1.0) z.mul_(head.scale);
  if (head.soft_cap == 0.0) return {z, {}};
  const at::Tensor x = z / head.soft_cap;
  return {head.soft_cap * x.tanh(), x.cosh().square().reciprocal().mul_(head.scale)};
}

/// Mean and variance of K derivatives under the softmax of n rows, over the entries so far: weights
/// relative to exp(maximum).
class SoftmaxVariance {
 public:
  SoftmaxVariance(std::int64_t directions, const at::Tensor& like)
      : maximum_(at::full({like.size(0)}, -std::numeric_limits<double>::infinity(),
                          like.options().dtype(at::kDouble))),
        mass_(at::zeros_like(maximum_)),
        mean_(at::zeros({directions, like.size(0)}, maximum_.options())),
        squares_(at::zeros_like(mean_)) {}

  /// Chan, Golub and LeVeque's update, so that a constant derivative leaves no variance.
  /// @param z [n, count] logits   @param j [K, n, count] derivatives, overwritten
  void add(const at::Tensor& z, const at::Tensor& j) {
    const at::Tensor top = at::maximum(maximum_, z.amax(-1)),
                     safe = at::where(top.isinf(), 0.0, top);
    const at::Tensor p = at::exp(z - safe.unsqueeze(-1)), before = mass_ * at::exp(maximum_ - safe),
                     added = p.sum(-1);
    const at::Tensor total = before + added, share = at::where(total > 0, added / total, 0.0);
    const at::Tensor mean = at::where(added > 0, (j * p).sum(-1) / added, 0.0);
    j.sub_(mean.unsqueeze(-1));
    const at::Tensor step = mean - mean_;
    squares_ = squares_ * at::exp(maximum_ - safe) + (j.square_() * p).sum(-1) +
               step.square() * before * share;
    mean_ = mean_ + step * share;
    mass_ = total;
    maximum_ = top;
  }

  at::Tensor mean_variance() const { return (squares_ / mass_).mean(-1).cpu(); }

 private:
  at::Tensor maximum_, mass_;  // [n]
  at::Tensor mean_, squares_;  // [K, n]
};

/// Squared deviations from the mean of each of n rows, over the entries so far (Chan, Golub and
/// LeVeque): a softmax does not see the mean.
class CentredSquares {
 public:
  /// @param values  [n, count]
  void add(const at::Tensor& values) {
    const auto count = static_cast<double>(values.size(-1));
    const at::Tensor mean = values.mean(-1);
    squares_ += (values - mean.unsqueeze(-1)).square().sum().item<double>();
    if (count_ == 0) mean_ = at::zeros_like(mean);
    const at::Tensor step = mean - mean_;
    const double total = count_ + count;
    squares_ += step.square().sum().item<double>() * count_ * count / total;
    mean_ += step * (count / total);
    count_ = total;
  }
  double sum() const { return squares_; }

 private:
  double count_ = 0, squares_ = 0;
  at::Tensor mean_;  // [n]
};

}  // namespace

at::Tensor output_fisher(const Architecture& architecture, const Weights& weights,
                         const Dual& output, std::int64_t directions, std::int64_t tile_bytes) {
  const at::Tensor &h = output.value, &tangents = output.tangents;
  std::optional<DecoderTangents> decoder;
  if (weights.has_head()) decoder.emplace(architecture, weights);
  if (!tangents.defined() && !(decoder && decoder->any()))
    return at::zeros({directions}, fp64());  // such as those of an expert that no token chose
  if (!decoder) return tangents.to(at::kDouble).square().sum(-1).mean(-1).cpu();
  const HeadSpec& head = *architecture.head;
  const std::int64_t n = h.size(0), numbers_of_entry = n * (2 * directions + 3);
  SoftmaxVariance variance(directions, h);
  for_each_tile(
      architecture, weights, h.scalar_type(), tile_bytes / 8 / numbers_of_entry,
      [&](const VocabularyTile& tile) {
        const Logits logits = logits_of(head, h, tile);
        at::Tensor j = tangents.defined()
                           ? at::matmul(tangents, tile.weight.t())
                           : at::zeros({directions, n, tile.weight.size(0)}, h.options());
        decoder->add(j, h, tile);
        j = j.to(at::kDouble);
        j.mul_(logits.slope.defined() ? logits.slope : at::scalar_tensor(head.scale, j.options()));
        variance.add(logits.value, j);
      });
  return variance.mean_variance();
}

double output_movement(Communicator& ranks, const Architecture& architecture,
                       const Weights& weights, const at::Tensor& h, const Weights& moved,
                       const at::Tensor& moved_h) {
  const auto ratio = [&](double moved_by, double size) {
    double squares[] = {moved_by, size};
    ranks.all_sum(squares);
    return std::sqrt(squares[0] / squares[1]);
  };
  if (!weights.has_head())
    return ratio((moved_h - h).square().sum().item<double>(), h.square().sum().item<double>());
  const LinearSpec decoder = stored_decoder(architecture);
  CentredSquares moved_by, size;
  for_each_tile(
      architecture, weights, h.scalar_type(), kTileEntries, [&](const VocabularyTile& tile) {
        const std::int64_t count = tile.weight.size(0);
        VocabularyTile other{tile.first, at::empty_like(tile.weight), {}};
        moved.read_rows(decoder.weights[0], at::arange(tile.first, tile.first + count, at::kLong),
                        other.weight);
        if (tile.bias.defined())
          other.bias.value =
              moved.load(decoder.biases[0], -1, h.scalar_type()).narrow(0, tile.first, count);
        const at::Tensor z = logits_of(*architecture.head, h, tile).value;
        moved_by.add(logits_of(*architecture.head, moved_h, other).value - z);
        size.add(z);
      });
  return ratio(moved_by.sum(), size.sum());
}

Decoder load_decoder(const Architecture& architecture, const Weights& weights,
                     at::ScalarType dtype) {
  const HeadSpec& head = *architecture.head;
  Linear linear = load_linear(weights, stored_decoder(architecture), -1, dtype);
  const at::Tensor& bias = linear.bias.value;
  return {linear.weight.value.contiguous(), bias.defined() ? bias.to(at::kDouble) : bias,
          head.scale, head.soft_cap};
}

}  // namespace deadray
