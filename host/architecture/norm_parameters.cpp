#include "host/architecture/norm_parameters.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "host/base/error.h"
#include "host/base/in_quotes.h"

namespace deadray {
namespace {

/// Real norms have thousands of values. A sparse file holds as many as it likes.
void require_width_of_a_norm(const NormSite& site) {
  constexpr std::int64_t kWidest = std::int64_t{1} << 24;
  if (site.hidden_size > kWidest)
    throw MalformedError(fmt::format("norm {}: is {} wide, expected at most {}",
                                     in_quotes(site.name), site.hidden_size, kWidest));
}

void require_finite(std::span<const double> values, std::string_view name) {
  const auto not_finite = [](double x) { return !std::isfinite(x); };
  const auto first = std::find_if(values.begin(), values.end(), not_finite);
  if (first == values.end()) return;
  throw MalformedError(fmt::format("{}: {} of {} values are not finite, the first at index {} ({})",
                                   name, std::count_if(first, values.end(), not_finite),
                                   values.size(), first - values.begin(), *first));
}

/// "model-00002.safetensors: tensor 'norm.weight'"; empty where nothing is stored.
std::string where(const Checkpoint& checkpoint, std::string_view tensor, std::string_view shown) {
  return tensor.empty()
             ? ""
             : fmt::format("{}: tensor '{}'",
                           checkpoint.files()[checkpoint.at(tensor).file].string(), shown);
}

}  // namespace

void require_sound(std::span<const double> gamma, std::span<const double> beta,
                   std::string_view gamma_name, std::string_view beta_name) {
  if (gamma.empty()) throw MalformedError(fmt::format("{}: no values", gamma_name));
  require_finite(gamma, gamma_name);
  require_finite(beta, beta_name);
  if (std::all_of(gamma.begin(), gamma.end(), [](double x) { return x == 0.0; }))
    throw MalformedError(
        fmt::format("{}: all {} values are zero: the norm's output does not depend on its input",
                    gamma_name, gamma.size()));
}

NormParameters read_norm(const Checkpoint& checkpoint, const NormSite& site) {
  const auto read = [&](const TensorInfo& tensor) {
    return site.row < 0
               ? checkpoint.read_fp64(tensor)
               : checkpoint.read_fp64(tensor, site.row * site.hidden_size, site.hidden_size);
  };
  require_width_of_a_norm(site);
  NormParameters norm;
  if (site.weight.empty()) {
    norm.gamma.assign(static_cast<std::size_t>(site.hidden_size), 1.0);
  } else {
    const TensorInfo& weight = checkpoint.at(site.weight);
    norm.gamma = read(weight);
    if (site.weight_offset != 0.0)
      for (double& value : norm.gamma) value += site.weight_offset;
    norm.stored = weight.dtype;
    norm.bytes = static_cast<std::uint64_t>(norm.gamma.size()) * size_of(weight.dtype);
  }
  if (!site.bias.empty()) {
    const TensorInfo& bias = checkpoint.at(site.bias);
    norm.beta = read(bias);
    norm.bytes += static_cast<std::uint64_t>(norm.beta.size()) * size_of(bias.dtype);
  }
  return norm;
}

NormParameters load_norm(const Checkpoint& checkpoint, const NormSite& site) {
  NormParameters norm = read_norm(checkpoint, site);
  require_sound(norm.gamma, norm.beta, where(checkpoint, site.weight, gamma_name(site)),
                where(checkpoint, site.bias, site.bias));
  return norm;
}

NormParameters initial_norm(const NormSite& site) {
  const auto width = static_cast<std::size_t>(site.hidden_size);
  return {std::vector<double>(width, 1.0), std::vector<double>(site.bias.empty() ? 0 : width, 0.0),
          DType::f32, 0};
}

NormParameters norm_parameters(const Checkpoint* checkpoint, const NormSite& site) {
  return checkpoint != nullptr ? load_norm(*checkpoint, site) : initial_norm(site);
}

}  // namespace deadray
