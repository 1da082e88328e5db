#include "host/architecture/gguf/gguf_keys.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/json_text.h"

namespace deadray {
namespace {

using Json = nlohmann::json;

/// An array that has the same number for every block says what one number would.
Json without_repetition(Json value) {
  const bool repeats =
      value.is_array() && !value.empty() && value[0].is_number() &&
      std::all_of(value.begin(), value.end(), [&](const Json& entry) { return entry == value[0]; });
  return repeats ? value[0] : value;
}

Config read_keys(const Checkpoint& checkpoint) {
  const std::filesystem::path& file = checkpoint.files().front();
  Json keys = Json::object();
  for (const auto& [key, text] : checkpoint.metadata()) {
    Json value = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (value.is_discarded())
      throw InternalError(fmt::format("{}: key {} came as no JSON", file.string(), in_quotes(key)));
    // Arrays of a tokenizer are long, and nobody's numbers.
    keys[key] =
        key.starts_with("tokenizer.") ? std::move(value) : without_repetition(std::move(value));
  }
  return Config::parse(keys.dump(-1, ' ', false, Json::error_handler_t::replace), file);
}

}  // namespace

GgufKeys::GgufKeys(const Checkpoint& checkpoint)
    : all_(read_keys(checkpoint)), architecture_(all_.text("general.architecture")) {}

std::string GgufKeys::own(std::string_view key) const {
  return fmt::format("{}.{}", architecture_, key);
}

bool GgufKeys::has(std::string_view key) const {
  const std::string name = own(key);
  return all_.has(name) && all_.json().at(name) != 0;
}

/// The key's full name, whose value is one for all blocks.
std::string GgufKeys::alike(std::string_view key) const {
  std::string name = own(key);
  if (all_.has(name) && all_.json().at(name).is_array())
    throw UnsupportedError(
        fmt::format("{}: key {} is {}: it differs from block to block; deadray describes models "
                    "whose blocks are alike",
                    file().string(), in_quotes(name), show_json(all_.json().at(name))));
  return name;
}

std::int64_t GgufKeys::size(std::string_view key) const { return all_.integer(alike(key)); }
std::int64_t GgufKeys::size(std::string_view key, std::int64_t fallback) const {
  return has(key) ? size(key) : fallback;
}
double GgufKeys::positive(std::string_view key) const { return all_.positive(alike(key)); }
double GgufKeys::positive(std::string_view key, double fallback) const {
  return has(key) ? positive(key) : fallback;
}

void require_gguf_model(const Checkpoint& checkpoint, const GgufKeys& keys) {
  const Config& all = keys.all();
  const std::string kind = all.text("general.type", "model");
  const auto refuse = [&](const std::string& what) {
    throw UnsupportedError(fmt::format("{}: {}", keys.file().string(), what));
  };
  if (kind == "adapter" || all.has("adapter.type"))
    refuse(
        fmt::format("an adapter ({}), no model: merge it into its base model first "
                    "(llama-export-lora), and give that",
                    all.text("adapter.type", "of unknown type")));
  if (kind == "mmproj" || keys.architecture() == "clip")
    refuse(
        "a projector for pictures or sound (mmproj), no language model: give the model's own "
        "GGUF file");
  if (kind != "model")
    refuse(fmt::format("key 'general.type' is {}, expected 'model'", in_quotes(kind)));
  if (checkpoint.tensors().empty() && all.has("tokenizer.ggml.model"))
    refuse("a vocabulary only, without tensors: give the model's own GGUF file");
}

}  // namespace deadray
