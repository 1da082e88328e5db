#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "host/architecture/gguf/gguf_keys.h"
#include "host/architecture/gguf/gguf_model.h"
#include "host/architecture/norm_names.h"
#include "host/base/error.h"
#include "host/base/in_quotes.h"

namespace deadray {
namespace {

constexpr std::string_view kScale = ".weight", kShift = ".bias";

/// What a file says of its norms as a whole.
struct Epsilons {
  explicit Epsilons(const GgufKeys& keys)
      : layernorm(keys.positive("attention.layer_norm_epsilon", 0.0)),
        rmsnorm(keys.positive("attention.layer_norm_rms_epsilon", 0.0)) {}
  bool tell_kind() const { return (layernorm > 0.0) != (rmsnorm > 0.0); }
  NormKind kind(bool has_shift) const {
    const bool is_layernorm = tell_kind() ? layernorm > 0.0 : has_shift;
    return is_layernorm ? NormKind::layernorm : NormKind::rmsnorm;
  }
  double layernorm, rmsnorm;
};

/// Norms over groups of channels: of a vocoder, of RWKV's heads.
bool is_group_norm(std::string_view stem) {
  return stem.starts_with("posnet.") || stem.ends_with("time_mix_ln");
}

bool is_norm(std::string_view stem) {
  return stem.find("norm") != stem.npos || is_group_norm(stem);
}

/// "blk.12.attn_norm": 12; -1 outside the blocks.
std::int64_t block_of(std::string_view stem) {
  std::int64_t block = -1;
  if (const auto place = stem.find("blk."); place != stem.npos)
    std::from_chars(stem.data() + place + 4, stem.data() + stem.size(), block);
  return block;
}

/// One scale, or one for each head.
bool is_scale(const TensorInfo& tensor) {
  return tensor.shape.size() == 1 || (tensor.shape.size() == 2 && tensor.shape[0] <= kMostParts);
}

/// The sites of one scale: one, or one a row.
void add_sites(const Checkpoint& checkpoint, const Epsilons& epsilons, const TensorInfo& scale,
               std::vector<NormSite>& sites) {
  NormSite site;
  site.name = scale.name.substr(0, scale.name.size() - kScale.size());
  if (const TensorInfo* shift = checkpoint.find(site.name + std::string(kShift))) {
    if (shift->shape != scale.shape)
      throw MalformedError(fmt::format("{}: tensor {}: shape [{}], expected [{}] as {} has",
                                       checkpoint.files()[shift->file].string(),
                                       in_quotes(shift->name), fmt::join(shift->shape, ", "),
                                       fmt::join(scale.shape, ", "), in_quotes(scale.name)));
    site.bias = shift->name;
  }
  site.kind = epsilons.kind(!site.bias.empty());
  site.eps = site.kind == NormKind::layernorm ? epsilons.layernorm : epsilons.rmsnorm;
  site.hidden_size = scale.shape.back();
  site.weight = scale.name;
  site.block = block_of(site.name);
  if (scale.shape.size() == 1) return sites.push_back(site);
  const std::string stem = site.name;
  for (site.row = 0; site.row < scale.shape[0]; ++site.row) {
    site.name = fmt::format("{}.{}", stem, site.row);
    sites.push_back(site);
  }
}

/// The norm that the head or the user reads, last.
void mark_last(std::vector<NormSite>& sites) {
  for (const std::string_view name : {"output_norm", "dec.output_norm", "enc.output_norm"})
    for (auto site = sites.begin(); site != sites.end(); ++site)
      if (site->name == name) {
        site->is_final = true;
        std::rotate(site, site + 1, sites.end());
        return;
      }
  // Where the stream is itself a norm's output, the last block's is the final one.
  const auto ends_block = [](const NormSite& site) {
    return site.name.ends_with(".layer_output_norm");
  };
  const auto last = std::find_if(sites.rbegin(), sites.rend(), ends_block);
  if (last != sites.rend()) last->is_final = true;
}

}  // namespace

DiscoveredNorms gguf_norms(const Checkpoint& checkpoint) {
  const GgufKeys keys(checkpoint);
  require_gguf_model(checkpoint, keys);
  const Epsilons epsilons(keys);
  DiscoveredNorms found;
  std::vector<std::string> group_norms, other_ranks;
  for (const TensorInfo& tensor : checkpoint.tensors()) {
    const std::string_view name = tensor.name;
    if (!name.ends_with(kScale) || !is_norm(name.substr(0, name.size() - kScale.size()))) continue;
    if (is_group_norm(name.substr(0, name.size() - kScale.size())))
      group_norms.push_back(tensor.name);
    else if (!is_scale(tensor))
      other_ranks.push_back(tensor.name);
    else
      add_sites(checkpoint, epsilons, tensor, found.sites);
  }
  if (found.sites.empty())
    throw MalformedError(
        fmt::format("{}: none of its {} tensors is the scale of a norm (…norm.weight)",
                    keys.file().string(), checkpoint.tensors().size()));
  std::sort(found.sites.begin(), found.sites.end(),
            [](const NormSite& a, const NormSite& b) { return comes_before(a.name, b.name); });
  mark_last(found.sites);
  found.notes.push_back(fmt::format(
      "general.architecture {}: norms found by their names, gamma as stored; consumers unknown",
      in_quotes(keys.architecture())));
  if (!epsilons.tell_kind())
    found.notes.push_back(fmt::format(
        "{} of {} and {}: norms with a shift are taken for LayerNorms, those without for "
        "RMSNorms; if that is wrong, say --norm",
        epsilons.layernorm > 0.0 ? "the file has both" : "the file has none",
        keys.own("attention.layer_norm_epsilon"), keys.own("attention.layer_norm_rms_epsilon")));
  if (!group_norms.empty())
    found.notes.push_back(fmt::format("group norms are left out: {}", first_few(group_norms)));
  if (!other_ranks.empty())
    found.notes.push_back(fmt::format("named as a norm's but no scale by its shape, left out: {}",
                                      first_few(other_ranks)));
  return found;
}

}  // namespace deadray
