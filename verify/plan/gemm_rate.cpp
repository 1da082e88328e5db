#include "verify/plan/gemm_rate.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "host/base/time_text.h"

namespace deadray {

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double measure_gemm_rate(Backend& backend, at::ScalarType dtype, std::int64_t n,
                         const std::function<double()>& now) {
  constexpr std::int64_t kRows = 1024, kWidest = 4096;
  constexpr int kCounted = 3;
  const c10::InferenceMode no_derivatives;
  n = std::min(n, kWidest);
  const auto options = at::device(backend.device()).dtype(dtype);
  const at::Tensor x = at::full({kRows, n}, 0.5, options), w = at::full({4 * n, n}, 0.5, options);
  const double flops = 2.0 * kRows * static_cast<double>(n) * static_cast<double>(4 * n);
  const auto rate_of_one = [&] {
    backend.synchronize();
    const double start = now();
    const at::Tensor y = at::linear(x, w);
    backend.synchronize();
    return flops / (now() - start);
  };
  rate_of_one();  // builds the library's kernel
  double best = 0;
  for (int repetition = 0; repetition < kCounted; ++repetition)
    best = std::max(best, rate_of_one());
  return best;
}

std::string work_text(double flops, double gemm_rate) {
  std::string text = fmt::format("; {:.2g} flops", flops);
  if (gemm_rate > 0)
    text += fmt::format(", {} or more at the {:.2g} TFLOP/s of a large product here",
                        long_duration(flops / gemm_rate), gemm_rate / 1e12);
  return text;
}

}  // namespace deadray
