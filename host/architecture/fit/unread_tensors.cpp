#include "host/architecture/fit/unread_tensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <map>
#include <unordered_set>

#include "host/architecture/catalogue.h"
#include "host/architecture/fit/quantisation.h"
#include "host/architecture/norm_names.h"
#include "host/architecture/parts.h"
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

/// Calls visit(name) for the name of each tensor that a description reads from this checkpoint.
template <class Visit>
class ReadNames {
 public:
  ReadNames(const Architecture& architecture, const Checkpoint& checkpoint, Visit visit)
      : architecture_(architecture),
        checkpoint_(checkpoint),
        prefix_(checkpoint_prefix(architecture, checkpoint)),
        visit_(visit) {
    for_each_part(architecture, *this);
  }

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
    visit_(stored_name(architecture_, checkpoint_, full_name(name, prefix_, block)));
  }
  void add(const TensorSpec& tensor, std::int64_t block) {
    add(tensor.name, block);
    if (tensor.fused) visit_(full_name(tensor.fused->name, prefix_, block));
  }
  void add(const LinearSpec& map, std::int64_t block) {
    for (const auto* parts : {&map.weights, &map.biases})
      for (const TensorSpec& part : *parts) add(part, block);
  }

  const Architecture& architecture_;
  const Checkpoint& checkpoint_;
  std::string prefix_;
  Visit visit_;
};

/// Which of the checkpoint's tensors a description reads: a mark for each, no second set of names.
std::vector<bool> find_read(const Architecture& architecture, const Checkpoint& checkpoint) {
  std::vector<bool> read(checkpoint.tensors().size(), false);
  ReadNames(architecture, checkpoint, [&](const std::string& name) {
    if (const TensorInfo* tensor = checkpoint.find(name))
      read[static_cast<std::size_t>(tensor - checkpoint.tensors().data())] = true;
  });
  return read;
}

/// The patterns of all names that a description reads, stored or not.
std::unordered_set<std::string> read_patterns(const Architecture& architecture,
                                              const Checkpoint& checkpoint) {
  std::unordered_set<std::string> patterns;
  ReadNames(architecture, checkpoint,
            [&](const std::string& name) { patterns.insert(pattern_of(name)); });
  return patterns;
}

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
void note_empty_tensors(const Checkpoint& checkpoint, const std::vector<bool>& read, bool strict,
                        std::vector<std::string>& notes) {
  const std::vector<TensorInfo>& tensors = checkpoint.tensors();
  std::vector<std::string> empty;
  for (std::size_t i = 0; i < tensors.size(); ++i)
    if (read[i] && tensors[i].elements() == 0) empty.push_back(tensors[i].name);
  if (empty.empty()) return;
  std::string line = fmt::format(
      "{}: {} of the model's tensors are empty, as in a shard that was not gathered: {}",
      checkpoint.path().string(), empty.size(), first_few(empty));
  if (strict) throw MalformedError(line);
  notes.push_back(std::move(line));
}

/// What nothing reads, and what deadray does not expect to be read either.
std::vector<const TensorInfo*> find_unread(const Checkpoint& checkpoint,
                                           const Architecture& architecture,
                                           const std::vector<bool>& read,
                                           const std::vector<std::string>& tied) {
  const auto announced = [&](const std::string& name) {
    return std::any_of(architecture.left_out.begin(), architecture.left_out.end(),
                       [&](const auto& part) { return name.starts_with(part); });
  };
  const auto belongs_to_quantised = [](const TensorInfo* tensor) {
    for (const std::string_view ending : {".biases", ".scale", ".zero", ".group_size", ".nbits"})
      if (tensor->name.ends_with(ending)) return true;  // MLX, HQQ: names that others use too
    return is_quantisation_part(tensor->name);
  };
  std::vector<const TensorInfo*> unread;
  for (std::size_t i = 0; i < read.size(); ++i) {
    const TensorInfo& tensor = checkpoint.tensors()[i];
    if (!read[i] && !is_no_weight(tensor) && !announced(tensor.name) &&
        !is_beside_fp8(checkpoint, tensor) &&
        std::find(tied.begin(), tied.end(), tensor.name) == tied.end())
      unread.push_back(&tensor);
  }
  if (!unread.empty() && quantisation_of(checkpoint)) std::erase_if(unread, belongs_to_quantised);
  return unread;
}

/// Takes the heads for tasks out of what nothing reads, and tells them.
void note_task_heads(const Checkpoint& checkpoint, const std::string& prefix,
                     std::vector<const TensorInfo*>& unread, std::vector<std::string>& notes) {
  std::vector<std::string> heads;
  std::erase_if(unread, [&](const TensorInfo* tensor) {
    std::string_view own = tensor->name;
    if (own.starts_with(prefix)) own.remove_prefix(prefix.size());
    const bool is_head = is_task_head(tensor->name) || is_task_head(own);
    if (is_head) heads.push_back(tensor->name);
    return is_head;
  });
  if (!heads.empty())
    notes.push_back(fmt::format("{}: a head for a task is left out: {}", checkpoint.path().string(),
                                first_few(heads)));
}

struct UnreadSummary {
  std::map<std::string, std::size_t> counts;  ///< by pattern
  bool more_blocks = false, left_over_scales = false;
};

UnreadSummary summary_of(const std::vector<const TensorInfo*>& unread,
                         const Architecture& architecture, const Checkpoint& checkpoint) {
  const std::unordered_set<std::string> known = read_patterns(architecture, checkpoint);
  UnreadSummary summary;
  for (const TensorInfo* tensor : unread) {
    std::string pattern = pattern_of(tensor->name);
    summary.more_blocks =
        summary.more_blocks ||
        (largest_number(tensor->name) >= architecture.n_blocks && known.contains(pattern));
    summary.left_over_scales = summary.left_over_scales || is_quantisation_part(tensor->name);
    ++summary.counts[std::move(pattern)];
  }
  return summary;
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
  const std::vector<bool> read = find_read(architecture, checkpoint);
  note_empty_tensors(checkpoint, read, strict, notes);
  std::vector<const TensorInfo*> unread =
      find_unread(checkpoint, architecture, read, tied_names(architecture, prefix));
  note_task_heads(checkpoint, prefix, unread, notes);
  if (unread.empty()) return;
  const UnreadSummary summary = summary_of(unread, architecture, checkpoint);
  std::vector<std::string> shown;
  for (const auto& [pattern, count] : summary.counts)
    shown.push_back(count > 1            ? fmt::format("{} ({})", pattern, count)
                    : unread.size() == 1 ? unread.front()->name
                                         : pattern);
  std::sort(shown.begin(), shown.end(), comes_before);
  std::string line = fmt::format(
      "{}: {} left out, of which config.json says nothing: {}{}{}", checkpoint.path().string(),
      unread.size() == 1 ? "one tensor is" : fmt::format("{} tensors are", unread.size()),
      first_few(shown, 6),
      summary.more_blocks ? "; the weights have more blocks than config.json says" : "",
      summary.left_over_scales ? "; scales of quantised weights beside plain ones: were they "
                                 "multiplied in?"
                               : "");
  if (strict) throw MalformedError(line);
  notes.push_back(std::move(line));
}

}  // namespace deadray
