#include "host/architecture/fit/quantisation.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

namespace deadray {
namespace {

/// How the tensors of a method end, the surest mark first.
constexpr std::array<std::pair<std::string_view, std::string_view>, 10> kMarks = {{
    {".quant_state.bitsandbytes__nf4", "bitsandbytes nf4"},
    {".quant_state.bitsandbytes__fp4", "bitsandbytes fp4"},
    {".SCB", "bitsandbytes int8"},
    {".g_idx", "gptq"},
    {".qweight", "gptq or awq"},
    {".weight_packed", "compressed-tensors"},
    {"_blocks", "mxfp4"},
    {".W_q", "hqq"},
    {".codebooks", "aqlm"},
    {".Qidxs", "quip"},
}};

constexpr std::string_view kParts[] = {
    ".absmax",
    ".nested_absmax",
    ".quant_map",
    ".nested_quant_map",
    ".weight_format",
    ".qzeros",
    ".scales",
    ".weight_scale",
    "_scale_inv",
    "_proj_scale",
    ".input_scale",
    ".output_scale",
    ".k_scale",
    ".v_scale",
    ".weight_scale_2",
    ".weight_shape",
    "_zero_point",
    "_global_scale",
    "_scales",
    ".activation_scale",
    "_g_idx",
    ".codes",
    ".SU",
    ".SV",
};

std::string text_at(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

bool is_true(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_boolean() && found->get<bool>();
}

/// MLX: 4-bit numbers in U32 words beside `scales` and `biases`.
bool is_mlx(const Checkpoint& checkpoint, const TensorInfo& tensor) {
  if (tensor.dtype != DType::u32 || !tensor.name.ends_with(".weight")) return false;
  const std::string stem = tensor.name.substr(0, tensor.name.size() - 6);
  return checkpoint.find(stem + "scales") != nullptr;
}

/// A matrix of numbers that do not stand for themselves, whatever the method.
bool is_integer_matrix(const TensorInfo& tensor) {
  const bool integer = tensor.dtype == DType::u8 || tensor.dtype == DType::i8 ||
                       tensor.dtype == DType::i32 || tensor.dtype == DType::u32;
  return integer && tensor.shape.size() == 2 && tensor.name.ends_with(".weight");
}

}  // namespace

std::string quantisation_of(const Config& config) {
  const nlohmann::json& json = config.json();
  for (const char* key : {"quantization_config", "compression_config"}) {
    const auto found = json.find(key);
    if (found == json.end() || !found->is_object()) continue;
    std::string method = text_at(*found, "quant_method");
    if (method.empty() && (is_true(*found, "load_in_4bit") || is_true(*found, "load_in_8bit")))
      method = "bitsandbytes";
    const std::string bits = text_at(*found, "bnb_4bit_quant_type");
    if (method == "bitsandbytes" && is_true(*found, "load_in_4bit") && !bits.empty())
      method += " " + bits;
    return method.empty() ? std::string(key) : method;
  }
  const auto mlx = json.find("quantization");
  if (mlx == json.end() || !mlx->is_object()) return {};
  const auto bits = mlx->find("bits");
  return bits != mlx->end() && bits->is_number_integer()
             ? fmt::format("mlx {}-bit", bits->get<std::int64_t>())
             : "mlx";
}

std::optional<QuantisedTensor> quantisation_of(const Checkpoint& checkpoint) {
  const auto& tensors = checkpoint.tensors();
  const auto shown = [](std::string_view method, const TensorInfo& tensor) {
    return QuantisedTensor{std::string(method), &tensor};
  };
  for (const auto& [ending, method] : kMarks)
    for (const TensorInfo& tensor : tensors)
      if (tensor.name.ends_with(ending)) return shown(method, tensor);
  for (const TensorInfo& tensor : tensors) {
    if (is_mlx(checkpoint, tensor)) return shown("mlx", tensor);
    if (is_integer_matrix(tensor))
      return shown(fmt::format("stored as {}", tensor.stored_dtype), tensor);
    if (is_fp8(tensor.dtype) && tensor.shape.size() >= 2 &&
        fp8_scale(checkpoint, tensor) == nullptr)
      return shown("FP8 without a scale beside it", tensor);
  }
  return std::nullopt;
}

bool is_quantisation_part(std::string_view tensor) {
  const auto ends = [&](std::string_view ending) { return tensor.ends_with(ending); };
  return std::any_of(std::begin(kParts), std::end(kParts), ends) ||
         std::any_of(kMarks.begin(), kMarks.end(),
                     [&](const auto& mark) { return ends(mark.first); });
}

bool is_beside_fp8(const Checkpoint& checkpoint, const TensorInfo& tensor) {
  if (!is_quantisation_part(tensor.name)) return false;
  const std::string_view name = tensor.name;
  // "q_proj.weight_scale" and "q_proj.input_scale", "experts.gate_up_proj_scale_inv".
  const std::string module(name.substr(0, name.rfind('.') + 1)), own(name, 0, name.rfind("_scale"));
  for (const std::string& weight : {module + "weight", own})
    if (const TensorInfo* found = checkpoint.find(weight); found != nullptr && is_fp8(found->dtype))
      return true;
  return false;
}

const TensorInfo* fp8_scale(const Checkpoint& checkpoint, const TensorInfo& weight) {
  for (const char* ending : {"_scale_inv", "_scale"})
    if (const TensorInfo* scale = checkpoint.find(weight.name + ending)) return scale;
  return nullptr;
}

}  // namespace deadray
