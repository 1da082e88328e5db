#include "verify/numerics/norm_rows.h"

#include <algorithm>

#include "host/architecture/norm_parameters.h"
#include "kernels/operations/norm_recompute.h"
#include "verify/base/dtypes.h"
#include "verify/base/side_by_side.h"

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
  constexpr std::int64_t kRows = 64;
  run_single_threaded((n_tokens + kRows - 1) / kRows, [&](std::int64_t piece) {
    const std::int64_t begin = piece * kRows, count = std::min(kRows, n_tokens - begin);
    const std::byte* data = first_row + static_cast<std::size_t>(begin * d) * rows.element_size();
    kernels::norm_recompute({data, element_type(rows.scalar_type()), count, d, d}, arguments,
                            first_out + begin * d);
  });
  return out;
}

}  // namespace deadray
