// deadray._predict: the predictor for Python. It knows no torch.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "host/architecture/norm_parameters.h"
#include "host/base/in_quotes.h"
#include "host/base/json_text.h"
#include "host/prediction/model_prediction.h"
#include "host/prediction/prediction_json.h"
#include "python/bindings/arguments.h"
#include "python/bindings/census.h"
#include "python/bindings/errors.h"
#include "python/bindings/find_model.h"

namespace nb = nanobind;

namespace deadray {
namespace {

using Vector = nb::ndarray<nb::numpy, const double, nb::ndim<1>>;
using Matrix = nb::ndarray<nb::numpy, double, nb::ndim<2>>;
using GivenVector = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

/// One norm with what was predicted of it.
struct Norm {
  std::string name;
  NormKind kind;
  std::vector<double> gamma, beta;  ///< beta is empty where the norm has none
  DeadSubspace subspace;            ///< without `inverse`
  std::vector<double> direction;    ///< v*, empty where there is none

  Norm(std::string its_name, NormKind its_kind, std::vector<double> its_gamma,
       std::vector<double> its_beta, DeadSubspace predicted)
      : name(std::move(its_name)),
        kind(its_kind),
        gamma(std::move(its_gamma)),
        beta(std::move(its_beta)),
        subspace(std::move(predicted)) {
    if (kind == NormKind::layernorm) direction = subspace.direction();
    subspace.inverse = UnsetVector();
  }
};

/// The vector as NumPy sees it, without a copy; absent where it is empty.
std::optional<Vector> view_of(nb::handle owner, const std::vector<double>& values) {
  if (values.empty()) return std::nullopt;
  return Vector(values.data(), {values.size()}, owner);
}

/// Orthonormal columns [d, dimension], which the norm does not keep: they may be many.
Matrix basis_of(const Norm& norm) {
  const std::size_t d = norm.gamma.size(),
                    columns = static_cast<std::size_t>(norm.subspace.dimension);
  auto values = std::make_unique<double[]>(d * columns);
  const auto& coordinates = norm.subspace.coordinates;
  if (coordinates.empty())
    std::copy(norm.direction.begin(), norm.direction.begin() + (columns ? d : 0), values.get());
  for (std::size_t j = 0; j < coordinates.size(); ++j)
    values[static_cast<std::size_t>(coordinates[j]) * columns + j] = 1.0;
  double* data = values.get();
  nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<double*>(p); });
  values.release();
  return Matrix(data, {d, columns}, owner);
}

std::pair<std::string, std::vector<Norm>> predict_on_disk(const std::string& model,
                                                          const std::string& site,
                                                          std::optional<double> tau,
                                                          const std::string& catalogue) {
  const nb::gil_scoped_release others_may_run;
  PredictRequest request;
  const ResolvedModels found = find_model(model, HubPurpose::predict);
  request.model = found.models.front().path;
  request.site = site;
  request.predict = options_of(tau);
  request.catalogue = catalogue;
  request.keep_directions = true;
  const OpenedModel opened = open_checkpoint_model(request);
  Prediction prediction = predict_model(request, opened);
  add_origin(prediction.hub, found, 0);
  std::string record = record_text(to_json(prediction));
  std::vector<Norm> norms;
  norms.reserve(prediction.sites.size());
  for (SitePrediction& predicted : prediction.sites) {
    NormParameters stored = read_norm(opened.checkpoint, predicted.site);
    norms.emplace_back(std::move(predicted.site.name), predicted.site.kind, std::move(stored.gamma),
                       std::move(stored.beta), std::move(predicted.subspace));
  }
  return {std::move(record), std::move(norms)};
}

Norm predict_one(std::string name, const std::string& kind, const GivenVector& gamma,
                 const std::optional<GivenVector>& beta, std::optional<double> tau) {
  const NormKind norm_kind = kind_named(kind);
  std::vector<double> scale(gamma.data(), gamma.data() + gamma.size()), shift;
  if (beta) shift.assign(beta->data(), beta->data() + beta->size());
  DeadSubspace subspace = predict(norm_kind, scale, shift, options_of(tau), name);
  return Norm(std::move(name), norm_kind, std::move(scale), std::move(shift), std::move(subspace));
}

/// The arrays know themselves what keeps their memory.
constexpr auto kAsItIs = nb::rv_policy::reference;

/// A property that is a vector of the norm's own.
template <auto kMember>
std::optional<Vector> own_vector(nb::handle_t<Norm> norm) {
  return view_of(norm, nb::cast<const Norm&>(norm).*kMember);
}

}  // namespace
}  // namespace deadray

NB_MODULE(_predict, module) {
  using namespace deadray;
  raise_deadray_errors();
  module.doc() = "The predictor, as the program deadray has it.";
  nb::class_<Norm>(module, "Norm",
                   "A norm and the directions of its output that never vary. Its arrays are FP64 "
                   "and read-only.")
      .def_ro("name", &Norm::name, "As its tensors are called: \"h.0.ln_1\".")
      .def_prop_ro(
          "kind", [](const Norm& norm) { return std::string(to_string(norm.kind)); },
          "\"layernorm\" or \"rmsnorm\".")
      .def_prop_ro("gamma", own_vector<&Norm::gamma>, kAsItIs, "Effective scale [d].")
      .def_prop_ro("beta", own_vector<&Norm::beta>, kAsItIs, "Shift [d]; None where there is none.")
      .def_prop_ro("direction", own_vector<&Norm::direction>, kAsItIs,
                   "v* = (1/gamma)/|1/gamma| [d]; None for an RMSNorm, and where a scale is 0.")
      .def_prop_ro("basis", &basis_of, kAsItIs, "Orthonormal columns [d, dimension]; a new array.")
      .def_prop_ro(
          "hidden_size", [](const Norm& norm) { return norm.gamma.size(); }, "d.")
      .def_prop_ro(
          "dimension", [](const Norm& norm) { return norm.subspace.dimension; },
          "Number of dead directions.")
      .def_prop_ro(
          "coordinates", [](const Norm& norm) { return norm.subspace.coordinates; },
          "Where gamma is numerically zero.")
      .def_prop_ro(
          "constant", [](const Norm& norm) { return norm.subspace.constant; },
          "What <1/gamma, output> equals; None where there is no v*.")
      .def_prop_ro(
          "bound", [](const Norm& norm) { return norm.subspace.variance_bound; },
          "Most variance of a unit vector of the basis, in exact arithmetic.")
      .def_prop_ro(
          "deployed_floor", [](const Norm& norm) { return norm.subspace.deployed_floor; },
          "Least variance that rounding the output to FP32 leaves there.")
      .def_prop_ro(
          "json", [](const Norm& norm) { return to_json(norm.subspace).dump(); },
          "What records hold under \"predicted\".")
      .def("__repr__", [](const Norm& norm) {
        return fmt::format("Norm({}, {}, hidden_size={}, dimension={})", in_quotes(norm.name),
                           to_string(norm.kind), norm.gamma.size(), norm.subspace.dimension);
      });
  module.def("predict_model", &predict_on_disk, nb::arg("model"), nb::arg("site") = "all",
             nb::arg("tau").none() = nb::none(), nb::arg("catalogue") = "",
             "The record deadray/predict/1 of a model on disk, and its norms.");
  module.def("predict_norm", &predict_one, nb::arg("name"), nb::arg("kind"), nb::arg("gamma"),
             nb::arg("beta").none(), nb::arg("tau").none() = nb::none(),
             "Predicts from a norm's parameters.");
  add_census(module);
}
