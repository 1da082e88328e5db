// deadray._measure: the probes of verify/probe on tensors of the PyTorch that is loaded. Rows come
// in as DLPack capsules and are not copied.
#include <ATen/DLConvertor.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <fmt/format.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>
#include <torch/headeronly/version.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "host/base/error.h"
#include "python/bindings/arguments.h"
#include "python/bindings/errors.h"
#include "python/bindings/ranks_in_python.h"
#include "verify/base/dtypes.h"
#include "verify/base/vector_math.h"
#include "verify/device/device_option.h"
#include "verify/device/environment_json.h"
#include "verify/device/library_errors.h"
#include "verify/probe/probe_group.h"
#include "verify/probe/site_json.h"

namespace nb = nanobind;

namespace deadray {
namespace {

/// A call takes about this many rows at a time, so that their FP64 copies stay small.
constexpr std::int64_t kTileRows = 4096;

Method method_of(const std::string& name) {
  for (const Method method : {Method::eigh, Method::certificate, Method::directional})
    if (name == to_string(method)) return method;
  throw UsageError(fmt::format("method '{}': expected eigh, certificate or directional", name));
}

DType dtype_named(const std::string& name) {
  for (const DType dtype : {DType::f64, DType::f32, DType::f16, DType::bf16})
    if (name == long_name(dtype)) return dtype;
  throw UnsupportedError(
      fmt::format("activations of {}: expected float64, float32, float16 or bfloat16", name));
}

/// The tensor [n, d] of a capsule, which is then used up; of None undefined.
at::Tensor tensor_of(nb::handle capsule) {
  if (capsule.is_none()) return {};
  auto* managed = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"));
  if (managed == nullptr) throw nb::python_error();
  at::Tensor tensor = at::fromDLPack(managed);
  PyCapsule_SetName(capsule.ptr(), "used_dltensor");
  return tensor;
}

/// The probes of the norms that run on one device.
class Probes {
 public:
  Probes(const std::string& method, const std::string& device, std::uint64_t seed,
         std::optional<double> tau, nb::object ranks) {
    if (!ranks.is_none()) ranks_ = std::make_unique<RanksInPython>(std::move(ranks));
    options_.method = method_of(method);
    options_.seed = seed;
    options_.predict = options_of(tau);
    if (ranks_) options_.ranks = ranks_.get();
    device_ = backend_of_device(device);
    group_ = std::make_unique<ProbeGroup>(options_, backend());
  }

  void begin(const std::string& name, const std::string& kind, std::vector<double> gamma,
             std::vector<double> beta, double eps, const std::string& dtype) {
    NormSite site;
    site.name = name;
    site.kind = kind_named(kind);
    site.hidden_size = std::ssize(gamma);
    site.eps = eps;
    NormParameters norm;
    norm.gamma = std::move(gamma);
    norm.beta = std::move(beta);
    group_->begin(site, std::move(norm), dtype_named(dtype));
  }

  /// All rows of one call of a norm. No rows at all are a call too: the norm's moments then exist.
  /// An undefined tensor leaves its reading out.
  void add(const std::string& name, const at::Tensor& input, const at::Tensor& output) {
    const std::int64_t n = (input.defined() ? input : output).size(0);
    for (std::int64_t first = 0; first == 0 || first < n; first += kTileRows) {
      const auto part = [&](const at::Tensor& rows) {
        return rows.defined() ? rows.narrow(0, first, std::min(kTileRows, n - first)) : rows;
      };
      const NormTile tile{name, part(input), part(output)};
      group_->reserve({&tile, 1});
      group_->add({&tile, 1});
    }
  }

  void merge(const std::string& name) { group_->merge(name); }
  void decompose_due() { group_->decompose_due(); }
  void decompose() { group_->decompose(); }

  std::string take() {
    const ProbeGroup::Results results = group_->take();
    nlohmann::ordered_json record{{"sites", nlohmann::ordered_json::array()}};
    for (const SiteResult& site : results.sites) record["sites"].push_back(site_json(site));
    record["seconds"] = {{"predict", results.predict_seconds},
                         {"moments", results.moments_seconds},
                         {"spectrum", results.spectrum_seconds}};
    return record.dump();
  }

  std::string environment() {
    return environment_json(backend(), ranks_ ? ranks_->hosts() : std::vector<std::string>{})
        .dump();
  }

 private:
  Backend& backend() { return device_ ? *device_ : cpu_backend(); }

  std::unique_ptr<RanksInPython> ranks_;
  ProbeOptions options_;
  std::unique_ptr<Backend> device_;  // none: the CPU
  std::unique_ptr<ProbeGroup> group_;
};

/// Runs `body`; libtorch's errors become deadray's, want of memory above all.
template <class Body>
void translated(const Body& body) {
  translate_library_errors([&] {
    body();
    return 0;
  });
}

/// Autocast would choose the number types of our products, autograd would record them.
class OursAlone {
  c10::InferenceMode no_derivatives_;
  c10::impl::ExcludeDispatchKeyGuard no_autocast_{c10::autocast_dispatch_keyset};
};

}  // namespace
}  // namespace deadray

NB_MODULE(_measure, m) {
  deadray::settle_vector_math();  // modules that are watched run in this process
  using deadray::Probes;
  using NoGil = nb::gil_scoped_release;
  m.doc() = "Probes of norms on PyTorch's tensors";
  m.attr("torch_version") = TORCH_VERSION;
  deadray::raise_deadray_errors();
  nb::class_<Probes>(m, "Probes")
      .def(nb::init<const std::string&, const std::string&, std::uint64_t, std::optional<double>,
                    nb::object>(),
           nb::arg("method"), nb::arg("device"), nb::arg("seed") = 0, nb::arg("tau") = nb::none(),
           nb::arg("ranks") = nb::none())
      .def(
          "begin",
          [](Probes& probes, const std::string& name, const std::string& kind,
             std::vector<double> gamma, std::vector<double> beta, double eps,
             const std::string& dtype) {
            const deadray::OursAlone ours;
            deadray::translated(
                [&] { probes.begin(name, kind, std::move(gamma), std::move(beta), eps, dtype); });
          },
          nb::arg("name"), nb::arg("kind"), nb::arg("gamma"), nb::arg("beta"), nb::arg("eps"),
          nb::arg("dtype"))
      .def(
          "add",
          [](Probes& probes, const std::string& name, nb::object input, nb::object output) {
            const deadray::OursAlone ours;
            const at::Tensor x = deadray::tensor_of(input), y = deadray::tensor_of(output);
            const NoGil others_run;
            deadray::translated([&] { probes.add(name, x, y); });
          },
          nb::arg("name"), nb::arg("input").none(), nb::arg("output").none())
      .def(
          "merge",
          [](Probes& probes, const std::string& name) {
            const deadray::OursAlone ours;
            const NoGil others_run;
            deadray::translated([&] { probes.merge(name); });
          },
          nb::arg("name"))
      .def("decompose_due",
           [](Probes& probes) {
             const deadray::OursAlone ours;
             const NoGil others_run;
             deadray::translated([&] { probes.decompose_due(); });
           })
      .def("decompose",
           [](Probes& probes) {
             const deadray::OursAlone ours;
             const NoGil others_run;
             deadray::translated([&] { probes.decompose(); });
           })
      .def("take",
           [](Probes& probes) {
             const deadray::OursAlone ours;
             const NoGil others_run;
             std::string record;
             deadray::translated([&] { record = probes.take(); });
             return record;
           })
      .def("environment", &Probes::environment);
}
