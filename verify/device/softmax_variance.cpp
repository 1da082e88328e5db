#include "verify/device/softmax_variance.h"

#include <algorithm>

#include "verify/base/dtypes.h"
#include "verify/base/side_by_side.h"
#include "verify/base/tensors.h"

namespace deadray {

at::Tensor softmax_variance(const at::Tensor& h, const Decoder& decoder, const at::Tensor& u) {
  const at::Tensor out = at::empty({h.size(0), u.size(0)}, fp64()), directions = u.contiguous();
  const kernels::Rows hidden = rows_of(h), weight = rows_of(decoder.weight);
  constexpr std::int64_t kRows = 64;
  run_single_threaded((h.size(0) + kRows - 1) / kRows, [&](std::int64_t piece) {
    const std::int64_t begin = piece * kRows, count = std::min(kRows, h.size(0) - begin);
    kernels::head_fisher(hidden.slice(begin, count), weight, decoder.arguments(),
                         directions.const_data_ptr<double>(), u.size(0),
                         out.data_ptr<double>() + begin * u.size(0));
  });
  return out;
}

}  // namespace deadray
