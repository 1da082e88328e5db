#include "host/architecture/gguf/gguf_model.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "host/architecture/gguf/gguf_keys.h"
#include "host/architecture/gguf/gguf_orders.h"
#include "host/architecture/gguf/gguf_table.h"
#include "host/base/error.h"
#include "host/base/in_quotes.h"

namespace deadray {
namespace {

using Json = nlohmann::json;

void say_key(const GgufKey& entry, const GgufKeys& keys, Json& config) {
  const std::string key(entry.config);
  if (entry.need == GgufKey::Need::optional && !keys.has(entry.key)) {
    if (!entry.like.empty()) config[key] = config.at(entry.like);
    return;
  }
  switch (entry.kind) {
    case GgufKey::Kind::size:
      config[key] = keys.size(entry.key);
      break;
    case GgufKey::Kind::count:
      config[key] = keys.all().count(keys.own(entry.key));
      break;
    case GgufKey::Kind::real:
      config[key] = keys.positive(entry.key);
      break;
    case GgufKey::Kind::flag:
      config[key] = keys.all().flag(keys.own(entry.key), false);
      break;
  }
}

void say_rows(const GgufRows& entry, const Checkpoint& checkpoint, Json& config) {
  const TensorInfo& tensor = checkpoint.at(entry.tensor);
  if (tensor.shape.size() != 2)
    throw MalformedError(
        fmt::format("{}: tensor {}: shape [{}], expected a matrix, whose rows are "
                    "the {}",
                    checkpoint.files()[tensor.file].string(), in_quotes(tensor.name),
                    fmt::join(tensor.shape, ", "), entry.config));
  config[std::string(entry.config)] = tensor.shape[0];
}

/// What config.json would say.
Json describe(const GgufArchitecture& architecture, const Checkpoint& checkpoint,
              const GgufKeys& keys) {
  Json config = architecture.constant;
  for (const GgufKey& entry : architecture.keys) say_key(entry, keys, config);
  for (const GgufRows& entry : architecture.rows) say_rows(entry, checkpoint, config);
  for (const GgufMark& entry : architecture.marks)
    config[std::string(entry.config)] = checkpoint.find(entry.tensor) != nullptr;
  config["tie_word_embeddings"] = checkpoint.find("output.weight") == nullptr;
  const Json& all = keys.all().json();
  config["pad_token_id"] = all.value("tokenizer.ggml.padding_token_id", Json());
  for (const GgufRule rule : architecture.rules) rule(checkpoint, keys, config);
  return config;
}

/// "blk.3.ffn_gate.7.weight" as "blk.{}.ffn_gate.{e}" and ".weight", with its two numbers.
struct ParsedName {
  std::string pattern, ending;
  std::string block, expert;
};

ParsedName parse_name(std::string_view name) {
  ParsedName parsed;
  while (true) {
    const std::size_t dot = name.find('.');
    const std::string_view component = name.substr(0, dot);
    if (dot == name.npos) {
      parsed.ending = fmt::format(".{}", component);
      return parsed;
    }
    const bool is_number =
        !component.empty() && component.find_first_not_of("0123456789") == component.npos;
    if (!parsed.pattern.empty()) parsed.pattern += '.';
    if (is_number) (parsed.block.empty() ? parsed.block : parsed.expert) = component;
    parsed.pattern += !is_number ? component : parsed.expert.empty() ? "{}" : "{e}";
    name.remove_prefix(dot + 1);
  }
}

/// Gives a file's tensors the family's names and orders.
class Renaming {
 public:
  Renaming(const GgufArchitecture& architecture, const Checkpoint& checkpoint, const Config& config,
           const GgufKeys& keys)
      : architecture_(architecture), checkpoint_(checkpoint) {
    heads_.queries = keys.size("attention.head_count");
    heads_.keys = config.integer(
        config.has("num_key_value_heads") ? "num_key_value_heads" : "num_kv_heads", heads_.queries);
    heads_.width = config.integer("head_dim", keys.size("embedding_length") / heads_.queries);
    if (heads_.queries % heads_.keys != 0)
      throw MalformedError(fmt::format("{}: {} {} is not a multiple of {} {}", keys.file().string(),
                                       keys.own("attention.head_count"), heads_.queries,
                                       keys.own("attention.head_count_kv"), heads_.keys));
  }

  std::vector<TensorInfo> renamed() {
    for (const TensorInfo& tensor : checkpoint_.tensors()) {
      const ParsedName name = parse_name(tensor.name);
      const GgufTensor* entry = find(name.pattern);
      if (entry == nullptr && name.pattern == "blk.{}.attn_qkv" && find("blk.{}.attn_q"))
        add_parts(tensor, name);
      else if (entry != nullptr)
        add(tensor, *entry, name);
      else
        tensors_.push_back(tensor);
    }
    refuse_repeated_names();
    return std::move(tensors_);
  }

 private:
  const GgufTensor* find(std::string_view pattern) const {
    const auto& all = architecture_.tensors;
    const auto found = std::find_if(
        all.begin(), all.end(), [&](const GgufTensor& tensor) { return tensor.stored == pattern; });
    return found == all.end() ? nullptr : &*found;
  }

  std::string where(const TensorInfo& tensor) const {
    return fmt::format("{}: tensor {}: shape [{}]", checkpoint_.files()[tensor.file].string(),
                       in_quotes(tensor.name), fmt::join(tensor.shape, ", "));
  }

  void require_rows(const TensorInfo& tensor, std::int64_t rows) const {
    if (rows == 0 || (!tensor.shape.empty() && tensor.shape[0] == rows)) return;
    throw MalformedError(
        fmt::format("{}, but the keys give {} heads and {} key heads of {}: {} "
                    "rows",
                    where(tensor), heads_.queries, heads_.keys, heads_.width, rows));
  }

  /// Queries, keys and values that a converter put into one tensor.
  void add_parts(const TensorInfo& tensor, const ParsedName& name) {
    const std::int64_t queries = heads_.queries * heads_.width, keys = heads_.keys * heads_.width;
    require_rows(tensor, queries + 2 * keys);
    add(part_of(tensor, 0, queries), *find("blk.{}.attn_q"), name);
    add(part_of(tensor, queries, keys), *find("blk.{}.attn_k"), name);
    add(part_of(tensor, queries + keys, keys), *find("blk.{}.attn_v"), name);
  }

  void add(const TensorInfo& tensor, const GgufTensor& entry, const ParsedName& name) {
    if (entry.name.empty()) return;
    const bool is_stack = entry.name.find("{e}") != std::string::npos && name.expert.empty();
    if (!is_stack) return add(tensor, entry, name, name.expert);
    if (tensor.shape.size() != 3 || tensor.shape[0] < 1 || tensor.shape[0] > kMostParts)
      throw MalformedError(fmt::format("{}, expected [experts, outputs, inputs]", where(tensor)));
    for (std::int64_t expert = 0; expert < tensor.shape[0]; ++expert)
      add(layer_of(tensor, expert), entry, name, std::to_string(expert));
  }

  void add(TensorInfo tensor, const GgufTensor& entry, const ParsedName& name,
           const std::string& expert) {
    require_rows(tensor, expected_rows(entry.order, heads_));
    const bool turns =
        entry.order == GgufOrder::rotary_queries || entry.order == GgufOrder::rotary_keys;
    if (turns && heads_.width % 2 != 0)
      throw MalformedError(fmt::format("{}, but a head of {} dimensions has no pairs to turn",
                                       where(tensor), heads_.width));
    tensor = undone(std::move(tensor), entry.order, heads_);
    tensor.name = entry.name + name.ending;
    for (const auto& [place, number] : {std::pair{"{}", name.block}, std::pair{"{e}", expert}})
      if (const auto found = tensor.name.find(place); found != std::string::npos)
        tensor.name.replace(found, std::string_view(place).size(), number);
    tensors_.push_back(std::move(tensor));
  }

  void refuse_repeated_names() const {
    std::set<std::string_view> names;
    for (const TensorInfo& tensor : tensors_)
      if (!names.insert(tensor.name).second)
        throw MalformedError(fmt::format("{}: two tensors stand for {}",
                                         checkpoint_.files()[tensor.file].string(),
                                         in_quotes(tensor.name)));
  }

  const GgufArchitecture& architecture_;
  const Checkpoint& checkpoint_;
  GgufHeads heads_;
  std::vector<TensorInfo> tensors_;
};

}  // namespace

bool is_known_gguf(const Checkpoint& checkpoint) {
  const GgufKeys keys(checkpoint);
  require_gguf_model(checkpoint, keys);
  return find_gguf_architecture(checkpoint, keys.architecture()) != nullptr;
}

Config take_gguf_as_family(Checkpoint& checkpoint) {
  const GgufKeys keys(checkpoint);
  require_gguf_model(checkpoint, keys);
  const GgufArchitecture* architecture = find_gguf_architecture(checkpoint, keys.architecture());
  if (architecture == nullptr) {
    std::set<std::string_view> known;
    for (const GgufArchitecture& entry : gguf_architectures()) known.insert(entry.name);
    throw UnsupportedError(fmt::format(
        "{}: general.architecture is {}; deadray runs {} from GGUF, `predict` answers for all",
        keys.file().string(), in_quotes(keys.architecture()), fmt::join(known, ", ")));
  }
  Config config = Config::parse(describe(*architecture, checkpoint, keys).dump(), keys.file());
  checkpoint.take_as(Renaming(*architecture, checkpoint, config, keys).renamed());
  return config;
}

}  // namespace deadray
