#pragma once

#include <filesystem>
#include <map>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "host/formats/safetensors_writer.h"
#include "tests/support/temporary_folder.h"

namespace deadray::test {

struct SmallTensor {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};
using SmallTensors = std::map<std::string, SmallTensor>;

inline void write_tensors(const std::filesystem::path& file, const SmallTensors& tensors) {
  std::vector<TensorDeclaration> declarations;
  for (const auto& [name, tensor] : tensors)
    declarations.push_back({name, DType::f32, tensor.shape});
  SafetensorsWriter writer(file, declarations);
  for (const auto& [name, tensor] : tensors) writer.append(std::as_bytes(std::span(tensor.values)));
  writer.finish();
}

inline SmallTensor vector_of(std::vector<float> values) {
  return {{static_cast<std::int64_t>(values.size())}, std::move(values)};
}

inline SmallTensor random_tensor(std::vector<std::int64_t> shape, unsigned seed,
                                 float offset = 0.0F) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(offset, 0.1F);
  SmallTensor tensor{std::move(shape), {}};
  tensor.values.resize(static_cast<std::size_t>(std::accumulate(
      tensor.shape.begin(), tensor.shape.end(), std::int64_t{1}, std::multiplies<>())));
  for (float& x : tensor.values) x = normal(generator);
  return tensor;
}

constexpr std::int64_t kSmallWidth = 8;

/// The norms and the embedding of a one-block GPT-2: all that a prediction reads.
inline SmallTensors small_gpt2() {
  SmallTensors tensors;
  unsigned seed = 0;
  for (const std::string norm : {"h.0.ln_1", "h.0.ln_2", "ln_f"}) {
    tensors[norm + ".weight"] = random_tensor({kSmallWidth}, ++seed, 1.0F);
    tensors[norm + ".bias"] = random_tensor({kSmallWidth}, ++seed);
  }
  tensors["wte.weight"] = random_tensor({11, kSmallWidth}, ++seed);
  return tensors;
}

inline const std::string kSmallConfig =
    R"({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 8,
    "n_head": 2, "n_layer": 1, "n_positions": 16, "vocab_size": 11})";

/// A model folder in the making.
inline void write_small_gpt2(const std::filesystem::path& folder,
                             const SmallTensors& tensors = small_gpt2(),
                             const std::string& config = kSmallConfig) {
  write_tensors(folder / "model.safetensors", tensors);
  write_text(folder / "config.json", config);
}

}  // namespace deadray::test
