#include "host/architecture/fit/fit_to_checkpoint.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <string_view>

#include "host/architecture/catalogue.h"
#include "host/architecture/fit/quantisation.h"
#include "host/architecture/fit/unread_tensors.h"
#include "host/architecture/norm_parameters.h"
#include "host/architecture/parts.h"
#include "host/base/error.h"
#include "host/base/in_quotes.h"

namespace deadray {

namespace {

/// What stands before the one tensor that ends in ".<name>"; empty where there is none, or several.
std::string wrapper_before(const Checkpoint& checkpoint, const std::string& name) {
  std::set<std::string> wrappers;
  for (const TensorInfo& tensor : checkpoint.tensors())
    if (tensor.name.ends_with("." + name))
      wrappers.insert(tensor.name.substr(0, tensor.name.size() - name.size()));
  return wrappers.size() == 1 ? *wrappers.begin() : "";
}

/// A wrapper that deadray does not know by name, told by the family's own names behind it.
std::string unknown_wrapper(const Architecture& architecture, const Checkpoint& checkpoint) {
  std::vector<std::string> prefixes = architecture.prefixes;
  std::stable_sort(prefixes.begin(), prefixes.end(),
                   [](const auto& a, const auto& b) { return a.size() > b.size(); });
  for (const std::string& landmark : landmarks(architecture))
    for (const std::string& prefix : prefixes)
      if (std::string wrapper = wrapper_before(checkpoint, full_name(landmark, prefix, 0));
          !wrapper.empty())
        return wrapper;
  return {};
}

void take_off_unknown_wrapper(Architecture& architecture, Checkpoint& checkpoint) {
  if (find_prefix(architecture, checkpoint)) return;
  const std::string wrapper = unknown_wrapper(architecture, checkpoint);
  if (wrapper.empty() || !checkpoint.take_off(wrapper)) return;
  architecture.notes.push_back(
      fmt::format("names of tensors: taken off the prefix {}", in_quotes(wrapper)));
}

/// Which of a model's tensors this checkpoint holds, by the names of the description.
class Stored {
 public:
  Stored(const Architecture& architecture, const Checkpoint& checkpoint)
      : architecture_(architecture),
        checkpoint_(checkpoint),
        prefix_(checkpoint_prefix(architecture, checkpoint)) {}

  const TensorInfo* find(const std::string& name, std::int64_t block = -1) const {
    return checkpoint_.find(
        stored_name(architecture_, checkpoint_, full_name(name, prefix_, block)));
  }
  bool any(const std::string& name, Blocks blocks) const {
    return std::any_of(blocks.begin(), blocks.end(),
                       [&](std::int64_t block) { return find(name, block) != nullptr; });
  }
  bool any(const std::vector<TensorSpec>& tensors, Blocks blocks) const {
    return std::any_of(tensors.begin(), tensors.end(),
                       [&](const TensorSpec& tensor) { return any(tensor.name, blocks); });
  }

 private:
  const Architecture& architecture_;
  const Checkpoint& checkpoint_;
  std::string prefix_;
};

/// De-duplicated files keep one name of a tied pair.
void read_table_from_head(Architecture& architecture, const Stored& stored) {
  if (!architecture.head || !architecture.head->tied || !architecture.tokens) return;
  TensorSpec& table = architecture.tokens->table;
  LinearSpec& decoder = architecture.head->decoder;
  if (stored.find(table.name) == nullptr && stored.find(decoder.weights[0].name) != nullptr) {
    architecture.notes.push_back(
        fmt::format("of the tied pair {} and {} only the second is stored: both are read from it",
                    in_quotes(table.name), in_quotes(full_name(decoder.weights[0].name, ""))));
    table.name = decoder.weights[0].name;
  }
  for (TensorSpec& bias : decoder.biases)
    if (const std::string other = bias_name(decoder.weights[0]);
        stored.find(bias.name) == nullptr && stored.find(other) != nullptr)
      bias.name = other;
}

/// A family whose LayerNorms have a shift, and a checkpoint none of whose does: nanoGPT's
/// bias=False saved as a GPT-2.
void drop_shifts_that_none_stores(Architecture& architecture, const Stored& stored) {
  std::int64_t norms = 0;
  bool scales = false, shifts = false;
  const auto has_shift = [](const NormSpec& norm) {
    return norm.kind == NormKind::layernorm && norm.has_bias;
  };
  for_each_part(architecture, PartVisitor{[&](const NormSpec& norm, Blocks blocks, std::int64_t) {
                  if (!has_shift(norm)) return;
                  norms += static_cast<std::int64_t>(blocks.size());
                  scales = scales || stored.any(norm.name + ".weight", blocks);
                  shifts = shifts || stored.any(norm.name + ".bias", blocks);
                }});
  if (!scales || shifts) return;
  for_each_part(architecture, PartVisitor{[&](NormSpec& norm, Blocks, std::int64_t) {
                  if (has_shift(norm)) norm.has_bias = false;
                }});
  architecture.notes.push_back(fmt::format(
      "none of the {} LayerNorms stores a shift (bias), which the family has: beta = 0", norms));
}

/// The same of the linear maps.
void drop_biases_that_none_stores(Architecture& architecture, const Stored& stored) {
  bool asked = false, held = false, weights = false;
  const auto look_at = [&](const LinearSpec& map, Blocks blocks) {
    weights = weights || stored.any(map.weights, blocks);
    held = held || stored.any(map.biases, blocks);
  };
  for_each_part(architecture, PartVisitor{[&](const LinearSpec& map, Blocks blocks, std::int64_t) {
                  if (map.biases.empty()) return;
                  asked = true;
                  look_at(map, blocks);
                  for (const LinearSpec& other : map.alternatives) look_at(other, blocks);
                }});
  if (!asked || !weights || held) return;
  for_each_part(architecture, PartVisitor{[&](LinearSpec& map, Blocks, std::int64_t) {
                  map.biases.clear();
                  for (LinearSpec& other : map.alternatives) other.biases.clear();
                }});
  architecture.notes.push_back(
      "none of the linear maps stores a bias, which config.json asks for: they have none");
}

/// The biases of a map that nobody asked for; empty unless every part has one in every block.
std::vector<TensorSpec> unsaid_biases(const LinearSpec& map, Blocks blocks, const Stored& stored) {
  std::vector<TensorSpec> biases;
  for (const TensorSpec& weight : map.weights) {
    const std::int64_t outputs = weight.shape[map.storage == Storage::out_in ? 0 : 1];
    TensorSpec bias{bias_name(weight), {outputs}, {Init::Kind::zeros}};
    for (const std::int64_t block : blocks) {
      const TensorInfo* tensor = stored.find(bias.name, block);
      if (tensor == nullptr || tensor->shape != bias.shape) return {};
    }
    biases.push_back(std::move(bias));
  }
  return biases;
}

void use_unsaid_biases(Architecture& architecture, const Stored& stored) {
  std::vector<std::string> used;
  const auto use = [&](LinearSpec& map, Blocks blocks) {
    if (!map.biases.empty()) return;
    map.biases = unsaid_biases(map, blocks, stored);
    for (const TensorSpec& bias : map.biases) used.push_back(pattern_of(bias.name));
  };
  for_each_part(architecture, PartVisitor{[&](LinearSpec& map, Blocks blocks, std::int64_t copies) {
                  if (copies > 1) return;  // experts: those that nothing reads are told
                  use(map, blocks);
                  for (LinearSpec& other : map.alternatives) use(other, blocks);
                }});
  if (used.empty()) return;
  architecture.notes.push_back(
      fmt::format("biases that the weights hold and config.json does not mention are used: {}",
                  first_few(used, 6)));
}

void tell_quantisation(Architecture& architecture, const Checkpoint& checkpoint) {
  const auto shown = quantisation_of(checkpoint);
  const auto& tensors = checkpoint.tensors();
  if (shown) {
    const std::string method =
        architecture.quantised.empty()
            ? shown->method
            : fmt::format("{} by the quantization_config of config.json", architecture.quantised);
    architecture.not_run.push_back(fmt::format(
        "{}: tensor {}: weights are quantised ({}); deadray runs plain ones, and FP8 "
        "with scales: give the unquantised checkpoint",
        checkpoint.files()[shown->tensor->file].string(), in_quotes(shown->tensor->name), method));
    architecture.notes.push_back(fmt::format("weights are quantised: {}", method));
  } else if (std::any_of(tensors.begin(), tensors.end(),
                         [](const TensorInfo& tensor) { return is_fp8(tensor.dtype); })) {
    architecture.notes.push_back(
        "FP8 weights are multiplied by their scales when they are read; products are formed in the "
        "dtype of the run, not in FP8");
  } else if (!architecture.quantised.empty()) {
    architecture.notes.push_back(
        fmt::format("config.json says that the weights are quantised ({}), but they are stored "
                    "plain, and taken so",
                    architecture.quantised));
  }
}

/// A family that stores gamma - 1 has stored means near 0, at least at the start of training; near
/// 1 in every norm, somebody has added the 1 already.
void tell_shifted_scales(Architecture& architecture, const Checkpoint& checkpoint,
                         const std::vector<NormSite>& sites) {
  constexpr double kNear = 0.25;
  std::vector<double> distances;
  for (const NormSite& site : sites) {
    if (site.weight.empty() || site.weight_offset == 0.0) continue;
    const std::vector<double> gamma = load_norm(checkpoint, site).gamma;
    double mean = -site.weight_offset;
    for (const double value : gamma) mean += value / static_cast<double>(gamma.size());
    distances.push_back(std::abs(mean - 1.0));
  }
  if (distances.empty() || *std::max_element(distances.begin(), distances.end()) > kNear) return;
  architecture.notes.push_back(
      fmt::format("{} stores its scales less 1, but the stored means of all {} are near 1: already "
                  "shifted? Then gamma is 1 too large here",
                  architecture.family, distances.size()));
}

/// By the component that an adapter adds to the names. It is looked for where components begin:
/// every model's every name comes by here.
bool is_of_adapter(std::string_view name) {
  static constexpr std::string_view kMarks[] = {
      ".lora_A.", ".lora_B.",   ".base_layer.", ".modules_to_save.", ".original_module.",
      ".ia3_l.",  ".hada_w1_a", ".lokr_w1",     ".oft_r.",           ".lora_embedding_A"};
  for (std::size_t dot = name.find('.'); dot != name.npos; dot = name.find('.', dot + 1))
    for (const std::string_view mark : kMarks)
      if (name.substr(dot).starts_with(mark)) return true;
  return false;
}

}  // namespace

void require_model(const Checkpoint& checkpoint) {
  if (checkpoint.tensors().empty())
    throw MalformedError(fmt::format("{}: no tensors: metadata alone; fetch the whole file",
                                     checkpoint.files().front().string()));
  for (const TensorInfo& tensor : checkpoint.tensors())
    if (is_of_adapter(tensor.name))
      throw UnsupportedError(fmt::format(
          "{}: tensor {}: is of an adapter that was not merged, so what acts is not there yet: "
          "merge it first (merge_and_unload() of peft)",
          checkpoint.files()[tensor.file].string(), in_quotes(tensor.name)));
}

std::vector<NormSite> fit_to_checkpoint(Architecture& architecture, Checkpoint& checkpoint,
                                        bool strict) {
  require_model(checkpoint);
  take_off_unknown_wrapper(architecture, checkpoint);
  const Stored stored(architecture, checkpoint);
  read_table_from_head(architecture, stored);
  drop_shifts_that_none_stores(architecture, stored);
  drop_biases_that_none_stores(architecture, stored);
  use_unsaid_biases(architecture, stored);
  tell_quantisation(architecture, checkpoint);
  std::vector<NormSite> sites = norm_sites(architecture, &checkpoint);
  note_unread_tensors(checkpoint, architecture, strict, architecture.notes);
  tell_shifted_scales(architecture, checkpoint, sites);
  return sites;
}

}  // namespace deadray
