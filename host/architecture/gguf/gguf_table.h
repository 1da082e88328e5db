#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "host/architecture/gguf/gguf_keys.h"
#include "host/formats/checkpoint.h"

// What llama.cpp's converter makes of each family, as data: keys, tensors' names, and what was done
// to their order, so that it can be undone.
namespace deadray {

/// What the converter did to the order of a tensor's elements.
enum class GgufOrder {
  as_is,
  transposed,      ///< [inputs, outputs] became [outputs, inputs] (GPT-2's Conv1D)
  rotary_queries,  ///< of each head the pairs (i, i + width / 2) became neighbours
  rotary_keys,
  grouped,  ///< queries, key, value of each key head became all queries, all keys, all values
};

/// One kind of tensor, by the stems of its names: ".weight" or ".bias" follows in both.
struct GgufTensor {
  std::string stored;  ///< "blk.{}.attn_q"; "{}" is the block's index, "{e}" an expert's
  /// In the family's checkpoints. With "{e}" here alone all experts are stored in one tensor.
  /// Empty: its content is in the configuration.
  std::string name;
  GgufOrder order = GgufOrder::as_is;
};

/// A key of the architecture, and the key of config.json that says the same.
struct GgufKey {
  enum class Kind { size, count, real, flag };
  std::string_view key, config;
  Kind kind = Kind::size;
  enum class Need { required, optional } need = Need::required;
  /// The key of config.json whose value it has where it is absent.
  std::string_view like = {};
};

/// A size that is read off a tensor: its rows.
struct GgufRows {
  std::string_view tensor, config;
};

/// A flag of config.json that says whether the file has this tensor.
struct GgufMark {
  std::string_view tensor, config;
};

/// What takes more than a key: adds to config.json.
using GgufRule = void (*)(const Checkpoint&, const GgufKeys&, nlohmann::json& config);

struct GgufArchitecture {
  std::string_view name;    ///< general.architecture
  std::string_view marked;  ///< of several entries of this name, the tensor that tells this one
  nlohmann::json constant;  ///< what holds for all of its files; model_type first of all
  std::vector<GgufKey> keys;
  std::vector<GgufRows> rows;
  std::vector<GgufMark> marks;
  std::vector<GgufRule> rules;  ///< in this order, after all else
  std::vector<GgufTensor> tensors;
};

/// In order of name; of several of one name that without a mark is last.
const std::vector<GgufArchitecture>& gguf_architectures();

/// nullptr where deadray does not know what the converter did.
const GgufArchitecture* find_gguf_architecture(const Checkpoint& checkpoint, std::string_view name);

}  // namespace deadray
