#include "verify/measure/activations.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <utility>

#include "host/architecture/catalogue.h"
#include "host/architecture/norm_parameters.h"
#include "host/base/error.h"
#include "host/base/stop_signals.h"
#include "host/base/stopwatch.h"
#include "host/formats/safetensors.h"
#include "verify/base/dtypes.h"
#include "verify/device/memory.h"
#include "verify/numerics/norm_rows.h"
#include "verify/probe/probe_group.h"

namespace deadray {

namespace {

constexpr std::int64_t kTileRows = 4096;

using Metadata = std::map<std::string, std::string>;

/// Rows of one [N, d] tensor, read tile by tile.
class Rows {
 public:
  Rows(const Checkpoint& file, const std::string& name, std::int64_t width)
      : file_(file), tensor_(file.find(name)) {
    if (tensor_ == nullptr) return;
    if (tensor_->shape.size() != 2 || tensor_->shape[1] != width)
      throw MalformedError(
          fmt::format("{}: tensor '{}' has shape [{}], expected [N, {}], the width of 'weight'",
                      file.path().string(), name, fmt::join(tensor_->shape, ", "), width));
    file.require_plain_float(*tensor_);
  }

  bool given() const { return tensor_ != nullptr; }
  std::int64_t count() const { return tensor_->shape[0]; }
  DType dtype() const { return tensor_->dtype; }

  at::Tensor read(std::int64_t first, std::int64_t count) const {
    if (!given()) return {};
    const std::int64_t width = tensor_->shape[1];
    at::Tensor tile = at::empty({count, width}, scalar_type(tensor_->dtype));
    file_.read(*tensor_, first * width, count * width, tile.data_ptr());
    const at::Tensor finite = tile.isfinite().all(1);
    if (!finite.all().item<bool>()) {
      const std::int64_t row = first + at::nonzero(finite.logical_not())[0][0].item<std::int64_t>();
      throw MalformedError(
          fmt::format("{}: tensor '{}' is not finite in {} of rows {} to {}, the first is row {}; "
                      "were the activations captured in a "
                      "dtype that overflows?",
                      file_.path().string(), tensor_->name,
                      count - finite.sum().item<std::int64_t>(), first, first + count - 1, row));
    }
    return tile;
  }

 private:
  const Checkpoint& file_;
  const TensorInfo* tensor_;
};

/// The file's metadata say; else the user does; else a bias tells a LayerNorm, with a note.
NormKind kind_of(const Checkpoint& file, const Metadata& metadata,
                 const ActivationsOptions& options, std::vector<std::string>& notes) {
  const auto entry = metadata.find("norm");
  if (entry == metadata.end()) {
    if (options.kind) return *options.kind;
    if (file.find("bias") != nullptr) {
      notes.push_back(
          "the file does not say which norm this is: a LayerNorm, since no RMSNorm has a bias");
      return NormKind::layernorm;
    }
    throw UsageError(
        fmt::format("{}: its metadata does not say which norm this is, and without 'bias' it could "
                    "be either: give --norm layernorm|rmsnorm",
                    file.path().string()));
  }
  for (const NormKind kind : {NormKind::layernorm, NormKind::rmsnorm}) {
    if (entry->second != to_string(kind)) continue;
    if (options.kind && *options.kind != kind)
      throw UsageError(fmt::format("{}: its metadata says {}, but --norm {}: leave --norm out",
                                   file.path().string(), entry->second, to_string(*options.kind)));
    return kind;
  }
  throw MalformedError(fmt::format("{}: metadata \"norm\" is \"{}\", expected layernorm or rmsnorm",
                                   file.path().string(), entry->second));
}

double eps_of(const Checkpoint& file, const Metadata& metadata, const ActivationsOptions& options) {
  if (options.eps) return *options.eps;
  const auto entry = metadata.find("eps");
  if (entry == metadata.end()) return 1e-5;
  double eps = 0.0;
  const auto [end, error] =
      std::from_chars(entry->second.data(), entry->second.data() + entry->second.size(), eps);
  if (error != std::errc() || end != entry->second.data() + entry->second.size() || !(eps >= 0.0))
    throw MalformedError(fmt::format("{}: metadata \"eps\" is \"{}\", expected a number >= 0",
                                     file.path().string(), entry->second));
  return eps;
}

NormSite described_site(const Checkpoint& file, const Metadata& metadata,
                        const ActivationsOptions& options, std::vector<std::string>& notes) {
  const TensorInfo& weight = file.at("weight");
  if (weight.shape.size() != 1 || weight.shape[0] < 1)
    throw MalformedError(fmt::format("{}: norm 'weight' has shape [{}], expected [hidden_size]",
                                     file.path().string(), fmt::join(weight.shape, ", ")));
  NormSite site;
  site.name = file.path().stem().string();
  site.kind = kind_of(file, metadata, options, notes);
  site.hidden_size = weight.shape[0];
  site.eps = eps_of(file, metadata, options);
  site.weight = "weight";
  site.is_final = true;
  if (const TensorInfo* bias = file.find("bias"); bias != nullptr) {
    if (bias->shape != weight.shape)
      throw MalformedError(
          fmt::format("{}: tensor 'bias' has shape [{}], expected [{}] like 'weight'",
                      file.path().string(), fmt::join(bias->shape, ", "), site.hidden_size));
    site.bias = "bias";
  }
  return site;
}

/// How far the stored output is from the norm of the stored input, over all tiles. The exact
/// reading, which recomputes the norm, would not show it.
class OutputCheck {
 public:
  OutputCheck(const NormSite& site, const NormParameters& norm) : site_(site), norm_(norm) {
    if (!norm.beta.empty()) beta_ = at::tensor(norm.beta, at::kDouble);
  }
  void add(const at::Tensor& input, const at::Tensor& output) {
    if (!input.defined() || !output.defined()) return;
    const at::Tensor wanted = recompute_norm(site_, norm_, input);
    at::Tensor got = output.to(at::kDouble);
    if (beta_.defined()) got = got - beta_;
    difference_ += (got - wanted).square().sum().item<double>();
    size_ += wanted.square().sum().item<double>();
  }
  /// @throws MalformedError where they are apart by far more than rounding, 2^-9 in bfloat16
  void require_agreement(const Checkpoint& file) const {
    constexpr double kMost = 0.05;
    const double relative = size_ > 0 ? std::sqrt(difference_ / size_) : 0.0;
    if (!(relative > kMost)) return;
    throw MalformedError(fmt::format(
        "{}: tensor 'output' is not the {} of 'input' with these 'weight', 'bias' and eps {:g}: "
        "{:.2g} apart, relative, expected "
        "rounding, below {}; is weight the whole scale (1 + weight?), and do norm and eps fit?",
        file.path().string(), to_string(site_.kind), site_.eps, relative, kMost));
  }

 private:
  const NormSite& site_;
  const NormParameters& norm_;
  at::Tensor beta_;
  double difference_ = 0, size_ = 0;
};

/// Whether the probe of one norm may decompose its two covariances at the same time.
bool has_room_side_by_side(std::int64_t d, const Backend& backend) {
  constexpr double kDecomposition = 4;  // matrices [d, d] that the full one takes
  const double square = static_cast<double>(d) * static_cast<double>(d) * 8;
  const GroupBytes group = bytes_of_group(kMatricesOfProbe * square, 1, /*side_by_side=*/true);
  const double needed =
      square * (kMatricesOfProbe + kDecomposition * static_cast<double>(group.decomposed));
  return no_room(backend, needed, "").empty();
}

}  // namespace

ActivationsResult verify_activations(const std::filesystem::path& path,
                                     const ActivationsOptions& options) {
  const Stopwatch watch;
  const Checkpoint file = Checkpoint::open(path, options.checkpoint);
  std::vector<std::string> notes = file.notes();
  const NormSite site = described_site(
      file, read_safetensors_header(InputFile(path), options.checkpoint).metadata, options, notes);
  const Rows input(file, "input", site.hidden_size), output(file, "output", site.hidden_size);
  if (!input.given() && !output.given())
    throw MalformedError(fmt::format("{}: holds neither 'input' nor 'output' [N, {}]",
                                     path.string(), site.hidden_size));
  const std::int64_t n_rows = input.given() ? input.count() : output.count();
  if (input.given() && output.given() && output.count() != n_rows)
    throw MalformedError(fmt::format("{}: 'input' has {} rows but 'output' {}", path.string(),
                                     n_rows, output.count()));
  if (n_rows == 0)
    throw MalformedError(fmt::format("{}: '{}' holds no rows, expected [N, {}] with N > {}",
                                     path.string(), input.given() ? "input" : "output",
                                     site.hidden_size, site.hidden_size));

  ProbeOptions probe_options = options.probe;
  probe_options.dtype = output.given() ? output.dtype() : input.dtype();
  probe_options.side_by_side = has_room_side_by_side(site.hidden_size, *options.backend);
  const NormParameters norm = load_norm(file, site);
  OutputCheck check(site, norm);
  SiteProbe probe(site, norm, probe_options, *options.backend);
  const auto placed = [&](const at::Tensor& rows) {
    return rows.defined() ? rows.to(options.backend->device()) : rows;
  };
  Seconds seconds;
  seconds.predict = probe.predict_seconds();
  for (std::int64_t first = 0; first < n_rows; first += kTileRows) {
    throw_if_stopped();
    const std::int64_t count = std::min(kTileRows, n_rows - first);
    const at::Tensor x = input.read(first, count), y = output.read(first, count);
    check.add(x, y);
    const at::Tensor in = placed(x), out = placed(y);
    options.backend->synchronize();  // so that the way to the device is not counted
    const Stopwatch adding;
    probe.add(in, out);
    options.backend->synchronize();
    seconds.moments += adding.seconds();
  }
  check.require_agreement(file);
  ActivationsResult result{path, probe_options.dtype, n_rows, {}, std::move(notes)};
  const Stopwatch finishing;
  result.measurement.sites.push_back(probe.finish());
  seconds.spectrum = finishing.seconds();
  seconds.total = watch.seconds();
  seconds.load = seconds.total - seconds.predict - seconds.moments - seconds.spectrum;
  result.measurement.seconds = seconds;
  return result;
}

}  // namespace deadray
