#pragma once

#include <cstddef>
#include <vector>

/// The inverse of a diagonal block of a lower triangular matrix, with which libraries for devices
/// multiply where a triangular solve would go row by row.
namespace simt {

constexpr int kInvertedBlock = 32;

class InvertedBlock {
 public:
  /// @param at  at(i, j), j <= i, is an element of the block
  template <class At>
  InvertedBlock(int n, const At& at) : n_(n), values_(static_cast<std::size_t>(n * n)) {
    for (int j = 0; j < n; ++j) {
      for (int i = j; i < n; ++i) {
        double sum = i == j ? 1.0 : 0.0;
        for (int l = j; l < i; ++l) sum -= at(i, l) * (*this)(l, j);
        values_[static_cast<std::size_t>(i + j * n)] = sum / at(i, i);
      }
    }
  }
  double operator()(int i, int j) const { return values_[static_cast<std::size_t>(i + j * n_)]; }

 private:
  int n_;
  std::vector<double> values_;
};

}  // namespace simt
