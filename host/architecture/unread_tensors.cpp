#include "host/architecture/unread_tensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <map>
#include <unordered_set>

#include "host/architecture/catalogue.h"
#include "host/architecture/norm_names.h"
#include "host/architecture/parts.h"
#include "host/architecture/quantisation.h"
#include "host/base/error.h"
#include "host/base/in_quotes.h"

namespace deadray {
namespace {

/// Calls visit(component, is_number) for each of a name's components.
template <class Visit>
void for_each_component(std::string_view name, Visit visit) {
  while (!name.empty()) {
    const std::string_view component = name.substr(0, name.find('.'));
    visit(component,
          !component.empty() && std::all_of(component.begin(), component.end(),
                                            [](char c) { return c >= '0' && c <= '9'; }));
    name.remove_prefix(std::min(component.size() + 1, name.size()));
  }
}

/// Of the components that are numbers; -1 without any.
std::int64_t largest_number(std::string_view name) {
  std::int64_t largest = -1;
  for_each_component(name, [&](std::string_view component, bool is_number) {
    std::int64_t number = 0;
    if (is_number &&
        std::from_chars(component.data(), component.data() + component.size(), number).ec ==
            std::errc())
      largest = std::max(largest, number);
  });
  return largest;
}

/// Names of all tensors that a description reads from this checkpoint.
class ReadNames {
 public:
  ReadNames(const Architecture& architecture, const Checkpoint& checkpoint)
      : architecture_(architecture),
        checkpoint_(checkpoint),
        prefix_(checkpoint_prefix(architecture, checkpoint)) {
    for_each_part(architecture, *this);
  }
  bool contains(const std::string& name) const { return names_.contains(name); }
  const std::unordered_set<std::string>& all() const { return names_; }

  void operator()(const NormSpec& norm, Blocks blocks, std::int64_t) {
    for (const std::int64_t block : blocks) {
      if (norm.has_scale) add(norm.name + ".weight", block);
      if (norm.has_bias) add(norm.name + ".bias", block);
    }
  }
  void operator()(const LinearSpec& map, Blocks blocks, std::int64_t copies) {
    for (const std::int64_t block : blocks)
      for (std::int64_t copy = 0; copy < copies; ++copy)
        add(copies > 1 ? expert(map, copy)
                       : as_stored(architecture_, checkpoint_, prefix_, map, block),
            block);
  }
  void operator()(const TensorSpec& tensor, Blocks blocks, std::int64_t) {
    for (const std::int64_t block : blocks) add(tensor, block);
  }

 private:
  void add(const std::string& name, std::int64_t block) {
    names_.insert(stored_name(architecture_, checkpoint_, full_name(name, prefix_, block)));
  }
  void add(const TensorSpec& tensor, std::int64_t block) {
    add(tensor.name, block);
    if (tensor.fused) names_.insert(full_name(tensor.fused->name, prefix_, block));
  }
  void add(const LinearSpec& map, std::int64_t block) {
    for (const auto* parts : {&map.weights, &map.biases})
      for (const TensorSpec& part : *parts) add(part, block);
  }

  const Architecture& architecture_;
  const Checkpoint& checkpoint_;
  std::string prefix_;
  std::unordered_set<std::string> names_;
};

/// What modules save beside their weights: masks of attention, tables of positions, counters.
bool is_no_weight(const TensorInfo& tensor) {
  static constexpr std::string_view kEndings[] = {
      ".inv_freq",         "inv_freq_global", "inv_freq_local",       ".cos_cached",
      ".sin_cached",       "position_ids",    ".masked_bias",         "token_type_ids",
      ".causal_mask",      "_extra_state",    ".num_batches_tracked", ".attn.mask",
      ".original_inv_freq"};
  // How a cache of keys and values would be rounded.
  for (const std::string_view scale : {".k_scale", ".v_scale", ".kv_scale", ".q_scale"})
    if (tensor.name.ends_with(scale) && tensor.elements() == 1) return true;
  for (const std::string_view ending : kEndings)
    if (tensor.name.ends_with(ending)) return true;
  const bool of_attention =
      tensor.name.ends_with(".attn.bias") || tensor.name.ends_with(".attention.bias");
  return of_attention &&
         (tensor.shape.size() >= 3 || tensor.dtype == DType::boolean || tensor.dtype == DType::u8);
}

/// What transformers and sentence-transformers put behind a model for one task. No figure of the
/// model itself depends on it.
bool is_task_head(std::string_view name) {
  static constexpr std::string_view kHeads[] = {
      "classifier.",           "qa_outputs.",     "score.",
      "cls.seq_relationship.", "pre_classifier.", "classification_head.",
      "cls.predictions.",      "lm_head.",        "pooler."};
  for (const std::string_view head : kHeads)
    if (name.starts_with(head)) return true;
  return false;
}

/// The second names of a tied pair: of the table as the decoder's weight, of the decoder's bias.
std::vector<std::string> tied_names(const Architecture& architecture, const std::string& prefix) {
  if (!architecture.head || !architecture.head->tied) return {};
  const TensorSpec& weight = architecture.head->decoder.weights[0];
  return {full_name(weight.name, prefix), full_name(bias_name(weight), prefix)};
}

/// A copy of the table that is none: another shape, or another first or last row.
bool differs(const Checkpoint& checkpoint, const TensorInfo& table, const TensorInfo& copy) {
  if (copy.shape != table.shape || table.shape.size() != 2) return true;
  if (!is_plain_float(copy.dtype) || !is_plain_float(table.dtype) || table.elements() == 0)
    return false;
  const std::int64_t width = table.shape[1];
  for (const std::int64_t first : {std::int64_t{0}, table.elements() - width})
    if (checkpoint.read_fp64(table, first, width) != checkpoint.read_fp64(copy, first, width))
      return true;
  return false;
}

/// Tied models run with the table alone, as their own code does.
void note_untied_copy(const Checkpoint& checkpoint, const Architecture& architecture,
                      const std::string& prefix, std::vector<std::string>& notes) {
  const std::vector<std::string> names = tied_names(architecture, prefix);
  if (names.empty() || !architecture.tokens) return;
  const TensorInfo* table = checkpoint.find(
      stored_name(architecture, checkpoint, full_name(architecture.tokens->table.name, prefix)));
  const TensorInfo* copy = checkpoint.find(stored_name(architecture, checkpoint, names[0]));
  if (table == nullptr || copy == nullptr || table == copy) return;
  if (differs(checkpoint, *table, *copy))
    notes.push_back(
        fmt::format("{}: {} is stored beside {}, to which config.json ties it, and "
                    "differs from it: not read",
                    checkpoint.path().string(), in_quotes(copy->name), in_quotes(table->name)));
}

/// What one process of many saved that held no part of them: ZeRO's third stage, not gathered.
void note_empty_tensors(const Checkpoint& checkpoint, const ReadNames& read, bool strict,
                        std::vector<std::string>& notes) {
  std::vector<std::string> empty;
  for (const TensorInfo& tensor : checkpoint.tensors())
    if (tensor.elements() == 0 && read.contains(tensor.name)) empty.push_back(tensor.name);
  if (empty.empty()) return;
  std::string line = fmt::format(
      "{}: {} of the model's tensors are empty, as in a shard that was not gathered: {}",
      checkpoint.path().string(), empty.size(), first_few(empty));
  if (strict) throw MalformedError(line);
  notes.push_back(std::move(line));
}

struct Unread {
  struct Alike {
    std::string first;  ///< name
    std::size_t count = 0;
  };
  std::map<std::string, Alike> patterns;
  std::size_t total = 0;
  std::vector<std::string> heads;  ///< names; not counted above
  bool more_blocks = false, left_over_scales = false;
};

Unread find_unread(const Checkpoint& checkpoint, const Architecture& architecture,
                   const ReadNames& read, const std::string& prefix) {
  const std::vector<std::string> tied = tied_names(architecture, prefix);
  const auto announced = [&](const std::string& name) {
    return std::any_of(architecture.left_out.begin(), architecture.left_out.end(),
                       [&](const auto& part) { return name.starts_with(part); });
  };
  const bool quantised = quantisation_of(checkpoint).has_value();
  const auto belongs_to_quantised = [&](const TensorInfo& tensor) {
    if (!quantised) return false;
    for (const std::string_view ending : {".biases", ".scale", ".zero", ".group_size", ".nbits"})
      if (tensor.name.ends_with(ending)) return true;  // MLX, HQQ: names that others use too
    return is_quantisation_part(tensor.name);
  };
  Unread unread;
  std::unordered_set<std::string> known;
  for (const std::string& name : read.all()) known.insert(pattern_of(name));
  for (const TensorInfo& tensor : checkpoint.tensors()) {
    if (read.contains(tensor.name) || is_no_weight(tensor) || announced(tensor.name) ||
        belongs_to_quantised(tensor) || is_beside_fp8(checkpoint, tensor) ||
        std::find(tied.begin(), tied.end(), tensor.name) != tied.end())
      continue;
    std::string_view own = tensor.name;
    if (own.starts_with(prefix)) own.remove_prefix(prefix.size());
    if (is_task_head(tensor.name) || is_task_head(own)) {
      unread.heads.push_back(tensor.name);
      continue;
    }
    std::string pattern = pattern_of(tensor.name);
    unread.more_blocks =
        unread.more_blocks ||
        (largest_number(tensor.name) >= architecture.n_blocks && known.contains(pattern));
    unread.left_over_scales = unread.left_over_scales || is_quantisation_part(tensor.name);
    Unread::Alike& alike = unread.patterns[std::move(pattern)];
    if (alike.count++ == 0) alike.first = tensor.name;
    ++unread.total;
  }
  return unread;
}

}  // namespace

std::string pattern_of(std::string_view name) {
  if (name.starts_with('/')) name.remove_prefix(1);
  std::string pattern;
  for_each_component(name, [&](std::string_view component, bool is_number) {
    if (!pattern.empty()) pattern += '.';
    pattern += is_number || component == "{}" || component == "{e}" ? "#" : component;
  });
  return pattern;
}

void note_unread_tensors(const Checkpoint& checkpoint, const Architecture& architecture,
                         bool strict, std::vector<std::string>& notes) {
  const std::string prefix = checkpoint_prefix(architecture, checkpoint);
  note_untied_copy(checkpoint, architecture, prefix, notes);
  const ReadNames read(architecture, checkpoint);
  note_empty_tensors(checkpoint, read, strict, notes);
  const Unread unread = find_unread(checkpoint, architecture, read, prefix);
  if (!unread.heads.empty())
    notes.push_back(fmt::format("{}: a head for a task is left out: {}", checkpoint.path().string(),
                                first_few(unread.heads)));
  if (unread.total == 0) return;
  std::vector<std::string> shown;
  for (const auto& [pattern, alike] : unread.patterns)
    shown.push_back(alike.count == 1 ? alike.first : fmt::format("{} ({})", pattern, alike.count));
  std::sort(shown.begin(), shown.end(), comes_before);
  std::string line = fmt::format(
      "{}: {} left out, of which config.json says nothing: {}{}{}", checkpoint.path().string(),
      unread.total == 1 ? "one tensor is" : fmt::format("{} tensors are", unread.total),
      first_few(shown, 6),
      unread.more_blocks ? "; the weights have more blocks than config.json says" : "",
      unread.left_over_scales ? "; scales of quantised weights beside plain ones: were they "
                                "multiplied in?"
                              : "");
  if (strict) throw MalformedError(line);
  notes.push_back(std::move(line));
}

}  // namespace deadray
