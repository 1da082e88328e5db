#include "host/architecture/catalogue.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "host/base/error.h"
#include "host/base/in_quotes.h"

namespace deadray {

std::string stored_name(const Architecture& architecture, const Checkpoint& checkpoint,
                        std::string name) {
  if (architecture.aliases.empty() || checkpoint.find(name) != nullptr) return name;
  std::string other = name;
  for (const auto& [ours, theirs] : architecture.aliases)
    if (const auto place = other.find(ours); place != std::string::npos)
      other.replace(place, ours.size(), theirs);
  return checkpoint.find(other) != nullptr ? other : name;
}

const LinearSpec& as_stored(const Architecture& architecture, const Checkpoint& checkpoint,
                            std::string_view prefix, const LinearSpec& linear, std::int64_t block) {
  const auto stored = [&](const LinearSpec& spec) {
    return checkpoint.find(stored_name(architecture, checkpoint,
                                       full_name(spec.weights[0].name, prefix, block))) != nullptr;
  };
  if (linear.alternatives.empty() || stored(linear)) return linear;
  const auto other = std::find_if(linear.alternatives.begin(), linear.alternatives.end(), stored);
  return other == linear.alternatives.end() ? linear : *other;
}

std::vector<std::string> landmarks(const Architecture& architecture) {
  std::vector<std::string> names;
  // A table that is read from a tied head has no prefix to tell.
  if (architecture.tokens && !architecture.tokens->table.name.starts_with('/'))
    names.push_back(architecture.tokens->table.name);
  else if (architecture.patches)
    names.push_back(architecture.patches->projection.weights[0].name);
  // A file of norms alone, say.
  names.push_back(architecture.block(0).attention_norm.name + ".weight");
  return names;
}

std::optional<std::string> find_prefix(const Architecture& architecture,
                                       const Checkpoint& checkpoint) {
  for (const std::string& landmark : landmarks(architecture))
    for (const std::string& prefix : architecture.prefixes)
      if (checkpoint.find(stored_name(architecture, checkpoint, full_name(landmark, prefix, 0))) !=
          nullptr)
        return prefix;
  return std::nullopt;
}

std::string checkpoint_prefix(const Architecture& architecture, const Checkpoint& checkpoint) {
  if (auto prefix = find_prefix(architecture, checkpoint)) return *std::move(prefix);
  std::vector<std::string> names = landmarks(architecture);
  for (std::string& name : names) name = in_quotes(full_name(name, "", 0));
  throw MalformedError(fmt::format(
      "{}: neither {} is there under any prefix of {} ('{}'); is config.json the one of "
      "these weights?",
      checkpoint.path().string(), fmt::join(names, " nor "), architecture.family,
      fmt::join(architecture.prefixes, "', '")));
}

namespace {

/// Collects the sites of one model; `checkpoint` may be null.
class Catalogue {
 public:
  Catalogue(const Architecture& architecture, const Checkpoint* checkpoint)
      : architecture_(architecture),
        checkpoint_(checkpoint),
        prefix_(checkpoint != nullptr ? checkpoint_prefix(architecture, *checkpoint)
                                      : architecture.prefixes.front()) {}

  std::vector<NormSite> collect() {
    if (architecture_.vision) {
      for (std::int64_t i = 0; i < architecture_.vision->blocks.n_blocks; ++i)
        add_block(architecture_.vision->blocks, i);
      read_by(add(architecture_.vision->norm, -1), architecture_.vision->projection, -1);
    }
    add_stack(architecture_);
    if (architecture_.ends_in_norm()) finish();
    if (architecture_.predictor) add_predictor(*architecture_.predictor);
    return std::move(sites_);
  }

 private:
  bool stored(const LinearSpec& linear) const {
    return checkpoint_ == nullptr ||
           checkpoint_->find(found_name(full_name(linear.weights[0].name, prefix_))) != nullptr;
  }
  std::string found_name(std::string name) const {
    return checkpoint_ == nullptr ? name
                                  : stored_name(architecture_, *checkpoint_, std::move(name));
  }

  void add_stack(const Stack& stack) {
    if (stack.input_norm) {
      NormSite& site = add(*stack.input_norm, -1);
      site.feeds_residual = true;
      if (stack.block(0).wiring == Wiring::post) read_by(site, stack.block(0).attention.qkv, 0);
    }
    for (std::int64_t i = 0; i < stack.n_blocks; ++i) add_block(stack, i);
    if (stack.final_norm) add(*stack.final_norm, -1);
  }

  void add_block(const Stack& stack, std::int64_t index) {
    const BlockSpec& block = stack.block(index);
    const AttentionSpec& attention = block.attention;
    const bool post = block.wiring == Wiring::post;
    for_each_norm(block, [&](const NormSpec& norm) {
      NormSite& site = add(norm, index);
      if (&norm == &block.attention_norm && !post) {
        read_by(site, attention.qkv, index);
        if (!block.mlp_norm) read_by_mlp(site, block.mlp, index);
      } else if (&norm == &block.attention_norm) {
        site.feeds_residual = true;
        read_by_mlp(site, block.mlp, index);
      } else if (is(norm, block.mlp_norm) && post) {
        site.feeds_residual = true;
        if (index + 1 < stack.n_blocks)
          read_by(site, stack.block(index + 1).attention.qkv, index + 1);
      } else if (is(norm, block.mlp_norm)) {
        read_by_mlp(site, block.mlp, index);
      } else {  // sandwich norms write to the stream; those over heads feed products, no linear map
        site.feeds_residual =
            is(norm, block.attention_output_norm) || is(norm, block.mlp_output_norm);
      }
    });
  }
  static bool is(const NormSpec& norm, const std::optional<NormSpec>& place) {
    return place && &norm == &*place;
  }

  /// @return the last site added: the only one, but for norms with a scale for each head
  NormSite& add(const NormSpec& spec, std::int64_t block) {
    const std::string stem = full_name(spec.name, prefix_, block);
    NormSite site;
    site.kind = spec.kind;
    site.hidden_size = spec.width;
    site.eps = spec.eps;
    site.weight_offset = spec.weight_offset;
    site.block = block;
    if (spec.has_scale)
      site.weight = parameter(stem + ".weight",
                              spec.rows > 0 ? Shape{spec.rows, spec.width} : Shape{spec.width});
    else
      require_absent(stem + ".weight", "scale");
    if (spec.has_bias)
      site.bias = parameter(stem + ".bias", {spec.width});
    else
      require_absent(stem + ".bias", "shift");
    std::int64_t row = 0;
    for (std::string& name : site_names(spec, stem)) {
      site.name = std::move(name);
      site.row = spec.rows > 0 ? row++ : -1;
      sites_.push_back(site);
    }
    return sites_.back();
  }

  using Shape = std::vector<std::int64_t>;
  std::string parameter(std::string name, const Shape& shape) const {
    if (checkpoint_ == nullptr) return name;
    name = found_name(std::move(name));
    const TensorInfo& tensor = checkpoint_->at(name);
    if (tensor.elements() == 0)
      throw MalformedError(fmt::format(
          "{}: norm '{}' has shape [{}], expected [{}]: it is empty, as in a shard that "
          "was not gathered; save the model again with its parameters gathered",
          checkpoint_->files()[tensor.file].string(), name, fmt::join(tensor.shape, ", "),
          fmt::join(shape, ", ")));
    if (tensor.shape != shape)
      throw MalformedError(
          fmt::format("{}: norm '{}' has shape [{}], expected [{}], {} that config.json gives",
                      checkpoint_->files()[tensor.file].string(), name,
                      fmt::join(tensor.shape, ", "), fmt::join(shape, ", "),
                      shape.size() > 1 ? "the heads and their width" : "the hidden size"));
    return name;
  }

  void require_absent(const std::string& name, std::string_view what) const {
    const TensorInfo* tensor =
        checkpoint_ == nullptr ? nullptr : checkpoint_->find(found_name(name));
    if (tensor == nullptr) return;
    throw MalformedError(
        fmt::format("{}: tensor {}: expected none, since by config.json this norm of {} has no {}; "
                    "is it the one of these weights?",
                    checkpoint_->files()[tensor->file].string(), in_quotes(tensor->name),
                    architecture_.family, what));
  }

  void read_by(NormSite& site, const LinearSpec& spec, std::int64_t block,
               bool tied = false) const {
    const LinearSpec& linear = checkpoint_ == nullptr
                                   ? spec
                                   : as_stored(architecture_, *checkpoint_, prefix_, spec, block);
    for (const TensorSpec& weight : linear.weights) {
      std::string stem = full_name(weight.name, prefix_, block);
      if (checkpoint_ != nullptr && !architecture_.aliases.empty())
        stem = stored_name(architecture_, *checkpoint_, std::move(stem));
      stem.resize(stem.size() - std::string_view(".weight").size());
      const bool transposed = linear.storage == Storage::in_out;
      site.consumers.push_back({std::move(stem), weight.shape[transposed ? 1 : 0],
                                !linear.biases.empty(), tied, transposed});
    }
  }

  void read_by_mlp(NormSite& site, const MlpSpec& mlp, std::int64_t block) const {
    if (!mlp.routing) return read_by(site, mlp.in, block);
    // Each expert under its own name, also where the checkpoint stores them all in one tensor.
    read_by(site, mlp.routing->router, block);
    for (std::int64_t e = 0; e < mlp.routing->n_experts; ++e)
      read_by(site, expert(mlp.in, e), block);
  }

  /// The last norm of the stream: read by the pooler and the head, where the checkpoint has them.
  void finish() {
    NormSite& final_site = sites_.back();
    final_site.is_final = true;
    if (architecture_.output_projection) read_by(final_site, *architecture_.output_projection, -1);
    if (architecture_.pooler && stored(*architecture_.pooler))
      read_by(final_site, *architecture_.pooler, -1);
    if (architecture_.predictor) read_by(final_site, architecture_.predictor->embedding, -1);
    if (!has_head(architecture_, checkpoint_)) {
      if (stores_head_norm()) add(architecture_.head->transform->norm, -1);
      return;
    }
    const HeadSpec& head = *architecture_.head;
    if (!head.transform) {
      if (!architecture_.output_projection) read_by(final_site, head.decoder, -1, head.tied);
    } else {
      read_by(final_site, head.transform->dense, -1);
      read_by(add(head.transform->norm, -1), head.decoder, -1, head.tied);
    }
  }

  /// A file of norms alone has the head's too, without the maps around it.
  bool stores_head_norm() const {
    if (checkpoint_ == nullptr || !architecture_.head || !architecture_.head->transform)
      return false;
    const std::string stem = full_name(architecture_.head->transform->norm.name, prefix_);
    return checkpoint_->find(found_name(stem + ".weight")) != nullptr;
  }

  void add_predictor(const Predictor& predictor) {
    add_stack(predictor.stack);
    read_by(sites_.back(), predictor.projection, -1);
  }

  const Architecture& architecture_;
  const Checkpoint* checkpoint_;
  std::string prefix_;
  std::vector<NormSite> sites_;
};

}  // namespace

std::vector<NormSite> norm_sites(const Architecture& architecture, const Checkpoint* checkpoint) {
  return Catalogue(architecture, checkpoint).collect();
}

bool has_head(const Architecture& architecture, const Checkpoint* checkpoint) {
  if (!architecture.head || checkpoint == nullptr) return architecture.head.has_value();
  const std::string prefix = checkpoint_prefix(architecture, *checkpoint);
  const auto stored = [&](const LinearSpec& linear) {
    return checkpoint->find(stored_name(architecture, *checkpoint,
                                        full_name(linear.weights[0].name, prefix))) != nullptr;
  };
  const HeadSpec& head = *architecture.head;
  return (head.tied || stored(head.decoder)) && (!head.transform || stored(head.transform->dense));
}

}  // namespace deadray
