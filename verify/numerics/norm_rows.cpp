#include "verify/numerics/norm_rows.h"

#include <ATen/Parallel.h>

#include "host/architecture/norm_parameters.h"
#include "kernels/operations/norm_recompute.h"
#include "verify/base/dtypes.h"

namespace deadray {

at::Tensor recompute_norm(const NormSite& site, const NormParameters& norm,
                          const at::Tensor& input) {
  const at::Tensor rows =
      (input.scalar_type() == at::kHalf ? input.to(at::kFloat) : input).contiguous();
  const std::int64_t n_tokens = rows.size(0), d = rows.size(1);
  kernels::NormArguments arguments;
  arguments.type =
      site.kind == NormKind::layernorm ? kernels::NormType::layernorm : kernels::NormType::rmsnorm;
  arguments.gamma = norm.gamma.data();
  arguments.eps = site.eps;  // beta and shift stay null: they cancel
  at::Tensor out = at::empty({n_tokens, d}, at::kDouble);
  const auto* first_row = static_cast<const std::byte*>(rows.const_data_ptr());
  auto* first_out = out.data_ptr<double>();
  at::parallel_for(0, n_tokens, 64, [&](std::int64_t begin, std::int64_t end) {
    const std::byte* data = first_row + static_cast<std::size_t>(begin * d) * rows.element_size();
    kernels::norm_recompute({data, element_type(rows.scalar_type()), end - begin, d, d}, arguments,
                            first_out + begin * d);
  });
  return out;
}

}  // namespace deadray
