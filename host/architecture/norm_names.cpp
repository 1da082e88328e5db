#include "host/architecture/norm_names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/formats/tensor_names.h"

namespace deadray {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// The digits that `text` begins with, without leading zeros; they are taken away from it.
std::string_view take_number(std::string_view& text) {
  const std::size_t digits =
      static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), is_digit) - text.begin());
  std::string_view number = text.substr(0, digits);
  text.remove_prefix(digits);
  number.remove_prefix(std::min(number.find_first_not_of('0'), number.size()));
  return number;
}

/// "layers.0.norm" for "layers.0.norm.weight"; empty unless the tensor is called as a norm's scale
/// or shift is.
std::string_view norm_stem(std::string_view tensor) {
  for (const std::string_view ending : {".weight", ".bias", ".gamma", ".beta", ".scale"}) {
    if (!tensor.ends_with(ending)) continue;
    const std::string_view stem = tensor.substr(0, tensor.size() - ending.size());
    // Its last component that is no number decides: norms.3 are norms, norm1.linear is none.
    std::string_view named = stem;
    std::size_t dot = named.rfind('.');
    while (dot != named.npos && std::all_of(named.begin() + static_cast<std::ptrdiff_t>(dot) + 1,
                                            named.end(), is_digit)) {
      named = named.substr(0, dot);
      dot = named.rfind('.');
    }
    return looks_like_norm(named.substr(dot == named.npos ? 0 : dot + 1)) ? stem
                                                                          : std::string_view();
  }
  return {};
}

std::vector<const TensorInfo*> unused_norm_tensors(const Checkpoint& checkpoint,
                                                   const std::vector<NormSite>& sites) {
  std::vector<std::string_view> used;
  for (const NormSite& site : sites) used.insert(used.end(), {site.weight, site.bias});
  std::sort(used.begin(), used.end());
  std::vector<const TensorInfo*> unused;
  for (const TensorInfo& tensor : checkpoint.tensors())
    if (!norm_stem(tensor.name).empty() &&
        !std::binary_search(used.begin(), used.end(), std::string_view(tensor.name)))
      unused.push_back(&tensor);
  return unused;
}

/// "h.#.ln_1" for "h.3.ln_1": what the sites of all blocks share.
std::string without_block(std::string_view stem) {
  std::string pattern;
  while (!stem.empty()) {
    const std::string_view component = stem.substr(0, stem.find('.'));
    pattern +=
        std::all_of(component.begin(), component.end(), is_digit) ? "#" : std::string(component);
    stem.remove_prefix(std::min(component.size() + 1, stem.size()));
    if (!stem.empty()) pattern += '.';
  }
  return pattern;
}

/// Of the components that are numbers; -1 without any.
std::int64_t largest_number(std::string_view stem) {
  std::int64_t largest = -1;
  while (!stem.empty()) {
    const std::string_view component = stem.substr(0, stem.find('.'));
    std::int64_t number = 0;
    const auto [end, error] =
        std::from_chars(component.data(), component.data() + component.size(), number);
    if (error == std::errc() && end == component.data() + component.size())
      largest = std::max(largest, number);
    stem.remove_prefix(std::min(component.size() + 1, stem.size()));
  }
  return largest;
}

bool is_scale(const TensorInfo& tensor) {
  return tensor.shape.size() == 1 &&
         (tensor.name.ends_with(".weight") || tensor.name.ends_with(".gamma")) &&
         looks_like_norm(tensor.name);
}

std::string shift_beside(const Checkpoint& checkpoint, const std::string& stem,
                         const TensorInfo& scale) {
  for (const char* ending : {".bias", ".beta"}) {
    const TensorInfo* shift = checkpoint.find(stem + ending);
    if (shift == nullptr) continue;
    if (shift->shape == scale.shape) return shift->name;
    throw MalformedError(fmt::format("{}: tensor {}: shape [{}], expected [{}] as {} has",
                                     checkpoint.files()[shift->file].string(),
                                     in_quotes(shift->name), fmt::join(shift->shape, ", "),
                                     fmt::join(scale.shape, ", "), in_quotes(scale.name)));
  }
  return {};
}

/// Outside the blocks, and not of an embedding (BLOOM, BERT) or a head (BERT), which have norms
/// there too.
bool may_be_final(std::string name) {
  if (is_in_numbered_part(name)) return false;
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto holds = [&](std::string_view part) { return name.find(part) != name.npos; };
  return !holds("embed") && !holds("head") && !holds("predict");
}

void mark_final(std::vector<NormSite>& sites) {
  const auto candidate = [](const NormSite& site) { return may_be_final(site.name); };
  if (std::count_if(sites.begin(), sites.end(), candidate) != 1) return;
  const auto last = std::find_if(sites.begin(), sites.end(), candidate);
  last->is_final = true;
  std::rotate(last, last + 1, sites.end());
}

}  // namespace

bool comes_before(std::string_view a, std::string_view b) {
  const std::string_view whole_a = a, whole_b = b;
  while (!a.empty() && !b.empty()) {
    if (is_digit(a.front()) && is_digit(b.front())) {
      const std::string_view x = take_number(a), y = take_number(b);
      if (x != y) return x.size() != y.size() ? x.size() < y.size() : x < y;
    } else {
      if (a.front() != b.front()) return a.front() < b.front();
      a.remove_prefix(1);
      b.remove_prefix(1);
    }
  }
  if (a.empty() != b.empty()) return a.empty();
  return whole_a < whole_b;  // they differ in leading zeros at most
}

bool is_in_numbered_part(std::string_view site) {
  const std::size_t dot = site.rfind('.');
  const std::string_view last = site.substr(dot == site.npos ? 0 : dot + 1);
  if (!last.empty() && std::all_of(last.begin(), last.end(), is_digit)) return true;
  for (std::string_view before = site.substr(0, site.size() - last.size()); !before.empty();) {
    const std::string_view component = before.substr(0, before.find('.'));
    // The whole component where there is no '_': npos + 1 is 0.
    const std::string_view number = component.substr(component.rfind('_') + 1);
    if (!number.empty() && std::all_of(number.begin(), number.end(), is_digit)) return true;
    before.remove_prefix(component.size() + 1);
  }
  return false;
}

DiscoveredNorms discover_norms(const Checkpoint& checkpoint, NormKind kind, double weight_offset) {
  DiscoveredNorms found;
  for (const TensorInfo& tensor : checkpoint.tensors()) {
    if (!is_scale(tensor)) continue;
    NormSite site;
    site.name = tensor.name.substr(0, tensor.name.rfind('.'));
    if (tensor.name.ends_with(".gamma") && checkpoint.find(site.name + ".weight") != nullptr)
      continue;
    site.kind = kind;
    site.hidden_size = tensor.shape[0];
    site.weight = tensor.name;
    site.weight_offset = weight_offset;
    site.bias = shift_beside(checkpoint, site.name, tensor);
    found.sites.push_back(std::move(site));
  }
  if (found.sites.empty())
    throw MalformedError(
        fmt::format("{}: none of its {} tensors looks like a norm's scale (rank 1, named "
                    "…norm….weight or …ln….weight)",
                    checkpoint.path().string(), checkpoint.tensors().size()));
  std::sort(found.sites.begin(), found.sites.end(),
            [](const NormSite& a, const NormSite& b) { return comes_before(a.name, b.name); });
  mark_final(found.sites);

  std::vector<std::string> unused;
  for (const TensorInfo* tensor : unused_norm_tensors(checkpoint, found.sites))
    unused.push_back(fmt::format("{} [{}]", tensor->name, fmt::join(tensor->shape, ", ")));
  if (!unused.empty())
    found.notes.push_back(fmt::format(
        "{} left out, named as a norm's but no scale of rank 1 or shift beside one: {}",
        unused.size() == 1 ? "one tensor is" : fmt::format("{} tensors are", unused.size()),
        first_few(unused)));
  return found;
}

void note_undescribed_norms(const Checkpoint& checkpoint, const Architecture& architecture,
                            const std::vector<NormSite>& sites, bool strict,
                            std::vector<std::string>& notes) {
  std::vector<std::string> stems;
  for (const TensorInfo* tensor : unused_norm_tensors(checkpoint, sites)) {
    const std::string_view stem = norm_stem(tensor->name);
    if (std::none_of(architecture.left_out.begin(), architecture.left_out.end(),
                     [&](const auto& part) { return stem.starts_with(part); }))
      stems.emplace_back(stem);
  }
  if (stems.empty()) return;
  std::sort(stems.begin(), stems.end(), comes_before);
  stems.erase(std::unique(stems.begin(), stems.end()), stems.end());
  std::vector<std::string> described;
  for (const NormSite& site : sites) described.push_back(without_block(norm_stem(site.weight)));
  std::sort(described.begin(), described.end());
  const bool more_blocks = std::any_of(stems.begin(), stems.end(), [&](const std::string& stem) {
    return largest_number(stem) >= architecture.n_blocks &&
           std::binary_search(described.begin(), described.end(), without_block(stem));
  });
  std::string line = fmt::format(
      "{}: {} left out, of which config.json says nothing: {}{}", checkpoint.path().string(),
      stems.size() == 1 ? "one norm is" : fmt::format("{} norms are", stems.size()),
      first_few(stems), more_blocks ? "; the weights have more blocks than config.json says" : "");
  if (strict) throw MalformedError(line);
  notes.push_back(std::move(line));
}

}  // namespace deadray
