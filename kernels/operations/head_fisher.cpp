#include "kernels/operations/head_fisher.h"

#include <algorithm>
#include <vector>

#include "kernels/arithmetic/head_fisher_arithmetic.h"
#include "kernels/operations/project.h"

namespace deadray::kernels {
namespace {

/// Tokens that share a widened piece of the weight.
constexpr std::int64_t kTokens = 64;
/// Entries of the vocabulary at a time.
constexpr std::int64_t kPiece = 1024;
/// Of widened weight: it stays in the second-level cache.
constexpr std::int64_t kLogitTileBytes = 256 * 1024;

struct Directions {
  std::int64_t count, vocab;
  std::vector<DirectionFrame> frames;
  std::vector<double> deltas;  // [count, vocab]

  Directions(const double* u, std::int64_t n_directions, std::int64_t n_vocab)
      : count(n_directions), vocab(n_vocab) {
    deltas.reserve(static_cast<std::size_t>(count * vocab));
    for (std::int64_t k = 0; k < count; ++k, u += vocab) {
      double sum = 0.0, magnitudes = 0.0;
      for (std::int64_t i = 0; i < vocab; ++i) {
        sum += u[i] - u[0];
        magnitudes += std::fabs(u[i] - u[0]);
      }
      frames.push_back(direction_frame(u[0], sum, magnitudes, vocab));
      for (std::int64_t i = 0; i < vocab; ++i) deltas.push_back(frames.back().delta(u[i]));
    }
  }
};

/// Takes pieces of one token's products into its moments, one for each direction.
class Fold {
 public:
  Fold(const LogitArguments& logits, const Directions& directions)
      : logits_(logits),
        rule_(logit_rule<double>(logits.scale, logits.soft_cap)),
        directions_(directions) {}

  void take(const double* products, std::int64_t first, std::int64_t count,
            SoftmaxMoments* states) {
    std::int64_t champion = -1;
    double top = -std::numeric_limits<double>::infinity();
    for (std::int64_t i = 0; i < count; ++i) {
      z_[i] = rule_.scale * (products[i] + (logits_.bias ? logits_.bias[first + i] : 0.0));
      if (z_[i] > top) top = z_[i], champion = i;
    }
    const Logit<double> best = logit(top);
    const double shift = champion >= 0 ? best.value : 0.0;
    double mass = 0.0;
    for (std::int64_t i = 0; i < count; ++i) {
      const Logit<double> own = logit(z_[i]);
      slopes_[i] = own.slope;
      weights_[i] = i == champion ? 0.0 : softmax_weight(own.value - shift);
      mass += weights_[i];
    }
    for (std::int64_t k = 0; k < directions_.count; ++k) {
      const double* deltas = directions_.deltas.data() + k * directions_.vocab + first;
      const double ratio = directions_.frames[static_cast<std::size_t>(k)].ratio();
      double sum = 0.0, squares = 0.0;
      for (std::int64_t i = 0; i < count; ++i) {
        const double d = centred_derivative(deltas[i], slopes_[i], best.slope, ratio);
        sum += weights_[i] * d;
        squares += weights_[i] * (d * d);
      }
      states[k].merge(
          piece_moments(best, champion >= 0 ? deltas[champion] : 0.0, ratio, mass, sum, squares));
    }
  }

  void finish(const SoftmaxMoments* states, double* out) const {
    for (std::int64_t k = 0; k < directions_.count; ++k)
      out[k] = states[k].variance(logits_.scale, directions_.frames[static_cast<std::size_t>(k)]);
  }

 private:
  Logit<double> logit(double z) const {
    return logits_.soft_cap > 0.0 ? capped_logit(z, rule_) : Logit<double>{z, 1.0};
  }

  const LogitArguments& logits_;
  const LogitRule<double> rule_;
  const Directions& directions_;
  double z_[kPiece], slopes_[kPiece], weights_[kPiece];
};

void widen_row(const Rows& rows, std::int64_t t, std::int64_t first, std::int64_t count,
               double* out) {
  with_element_type(rows, [&](auto x) {
    for (std::int64_t i = 0; i < count; ++i) out[i] = widen(x[t * rows.row_stride + first + i]);
  });
}

/// products[t, i] = <hidden[t, :], weight[first + i, :]> for n_tokens tokens and `count` rows of
/// the weight; the stride is kPiece.
void multiply(const double* hidden, std::int64_t n_tokens, const Rows& weight, std::int64_t first,
              std::int64_t count, std::vector<double>& tile, double* products) {
  const std::int64_t d = weight.hidden_size,
                     n_rows = static_cast<std::int64_t>(tile.size()) / std::max<std::int64_t>(1, d);
  for (std::int64_t i = 0; i < count; i += n_rows) {
    const std::int64_t n = std::min(n_rows, count - i);
    for (std::int64_t r = 0; r < n; ++r)
      widen_row(weight, first + i + r, 0, d, tile.data() + r * d);
    project(tile.data(), round_to_row_multiple(n), hidden, n_tokens, d, products + i, kPiece);
  }
}

}  // namespace

void head_fisher(const Rows& hidden, const Rows& weight, const LogitArguments& logits,
                 const double* directions, std::int64_t n_directions, double* out) {
  const std::int64_t d = weight.hidden_size, vocab = weight.n_tokens,
                     width = std::max<std::int64_t>(1, d);
  if (vocab == 0) return void(std::fill_n(out, hidden.n_tokens * n_directions, 0.0));
  const Directions prepared(directions, n_directions, vocab);
  Fold fold(logits, prepared);
  const auto tile_rows = std::clamp<std::int64_t>(kLogitTileBytes / (8 * width) / kRowMultiple, 1,
                                                  kPiece / kRowMultiple) *
                         kRowMultiple;
  std::vector<double> tile(static_cast<std::size_t>(tile_rows * width)),
      tokens(static_cast<std::size_t>(kTokens * width)),
      products(static_cast<std::size_t>(kTokens * kPiece));
  for (std::int64_t t = 0; t < hidden.n_tokens; t += kTokens) {
    const std::int64_t n_tokens = std::min(kTokens, hidden.n_tokens - t);
    for (std::int64_t r = 0; r < n_tokens; ++r)
      widen_row(hidden, t + r, 0, d, tokens.data() + r * d);
    std::vector<SoftmaxMoments> states(static_cast<std::size_t>(n_tokens * n_directions));
    for (std::int64_t first = 0; first < vocab; first += kPiece) {
      const std::int64_t count = std::min(kPiece, vocab - first);
      multiply(tokens.data(), n_tokens, weight, first, count, tile, products.data());
      for (std::int64_t r = 0; r < n_tokens; ++r)
        fold.take(products.data() + r * kPiece, first, count, states.data() + r * n_directions);
    }
    for (std::int64_t r = 0; r < n_tokens; ++r)
      fold.finish(states.data() + r * n_directions, out + (t + r) * n_directions);
  }
}

void logit_fisher(const Rows& products, const LogitArguments& logits, const double* directions,
                  std::int64_t n_directions, double* out) {
  const std::int64_t vocab = products.hidden_size;
  if (vocab == 0) return void(std::fill_n(out, products.n_tokens * n_directions, 0.0));
  const Directions prepared(directions, n_directions, vocab);
  Fold fold(logits, prepared);
  double piece[kPiece];
  for (std::int64_t t = 0; t < products.n_tokens; ++t) {
    std::vector<SoftmaxMoments> states(static_cast<std::size_t>(n_directions));
    for (std::int64_t first = 0; first < vocab; first += kPiece) {
      const std::int64_t count = std::min(kPiece, vocab - first);
      widen_row(products, t, first, count, piece);
      fold.take(piece, first, count, states.data());
    }
    fold.finish(states.data(), out + t * n_directions);
  }
}

}  // namespace deadray::kernels
