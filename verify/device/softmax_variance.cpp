#include "verify/device/softmax_variance.h"

#include <ATen/Parallel.h>

#include "verify/base/dtypes.h"
#include "verify/base/tensors.h"

namespace deadray {

at::Tensor softmax_variance(const at::Tensor& h, const Decoder& decoder, const at::Tensor& u) {
  const at::Tensor out = at::empty({h.size(0), u.size(0)}, fp64()), directions = u.contiguous();
  const kernels::Rows hidden = rows_of(h), weight = rows_of(decoder.weight);
  at::parallel_for(0, h.size(0), 64, [&](std::int64_t begin, std::int64_t end) {
    kernels::head_fisher(hidden.slice(begin, end - begin), weight, decoder.arguments(),
                         directions.const_data_ptr<double>(), u.size(0),
                         out.data_ptr<double>() + begin * u.size(0));
  });
  return out;
}

}  // namespace deadray
