#include "host/architecture/discover_norms.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <optional>
#include <set>
#include <string_view>

#include "host/architecture/norm_names.h"
#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/formats/tensor_names.h"

namespace deadray {
namespace {

/// How programs end the names of a norm's scale and of the shift beside it.
struct Reading {
  std::string_view scale, shift;
};
constexpr Reading kReadings[] = {{".weight", ".bias"}, {".gamma", ".beta"}, {".scale", ".bias"},
                                 {".g", ".b"},         {".a_2", ".b_2"},    {"_weight", "_bias"},
                                 {"_gamma", "_beta"}};

/// The name without its last components that are numbers: norms.3 are norms.
std::string_view without_numbers(std::string_view name) {
  std::size_t dot = name.rfind('.');
  while (dot != name.npos && dot + 1 < name.size() &&
         std::all_of(name.begin() + static_cast<std::ptrdiff_t>(dot) + 1, name.end(),
                     [](unsigned char c) { return std::isdigit(c) != 0; })) {
    name = name.substr(0, dot);
    dot = name.rfind('.');
  }
  return name;
}

std::string_view last_component(std::string_view name) {
  return name.substr(name.rfind('.') + 1);  // npos + 1 is 0
}

/// A scale or a shift by its name: the norm's stem, and what follows it there.
struct NamedAsNorm {
  std::string stem;
  Reading reading;
};

/// Which norm a tensor of this name belongs to; absent unless the part of the name before the
/// ending is a norm's.
std::optional<NamedAsNorm> named_as_norm(std::string_view tensor, bool as_scale) {
  for (const Reading& reading : kReadings) {
    const std::string_view ending = as_scale ? reading.scale : reading.shift;
    if (!tensor.ends_with(ending)) continue;
    const std::string_view stem = tensor.substr(0, tensor.size() - ending.size());
    if (looks_like_norm(last_component(without_numbers(stem))))
      return NamedAsNorm{std::string(stem), reading};
  }
  return std::nullopt;
}

/// What lies beside a scale, with which it is no LayerNorm's; empty: nothing.
class Siblings {
 public:
  explicit Siblings(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {
    for (const TensorInfo& tensor : checkpoint.tensors())
      if (tensor.shape.size() >= 2 && tensor.name.ends_with(".weight"))
        matrices_[parent(tensor.name.substr(0, tensor.name.size() - 7))].push_back(&tensor);
  }

  std::string_view why_no_norm(const std::string& stem, const TensorInfo& scale) const {
    if (checkpoint_.find(stem + ".alpha") != nullptr)
      return "an alpha is beside it, so it is a dynamic tanh";
    for (const char* ending : {".running_mean", ".running_var"})
      if (checkpoint_.find(stem + ending) != nullptr)
        return "running statistics are beside it, so it is a batch norm";
    if (only_convolutions_read(stem, scale.shape[0]))
      return "convolutions read it, so a group norm cannot be excluded";
    return {};
  }

 private:
  static std::string parent(std::string_view name) {
    const std::size_t dot = name.rfind('.');
    return std::string(name.substr(0, dot == name.npos ? 0 : dot));
  }
  bool only_convolutions_read(const std::string& stem, std::int64_t width) const {
    const auto beside = matrices_.find(parent(without_numbers(stem)));
    if (beside == matrices_.end()) return false;
    bool convolution = false;
    for (const TensorInfo* tensor : beside->second) {
      if (tensor->shape.size() == 2 && (tensor->shape[0] == width || tensor->shape[1] == width))
        return false;
      convolution = convolution || (tensor->shape.size() >= 3 && tensor->shape[1] == width);
    }
    return convolution;
  }

  const Checkpoint& checkpoint_;
  std::map<std::string, std::vector<const TensorInfo*>> matrices_;
};

/// The shift of this norm; empty: it stores none.
std::string shift_beside(const Checkpoint& checkpoint, const NamedAsNorm& named,
                         const TensorInfo& scale) {
  for (const std::string_view ending : {named.reading.shift, std::string_view(".beta")}) {
    const TensorInfo* shift = checkpoint.find(named.stem + std::string(ending));
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

/// Tensors that are called as a norm's but are neither scale nor shift of a site.
void note_unused(const Checkpoint& checkpoint, const std::set<std::string>& used,
                 std::vector<std::string>& notes) {
  std::vector<std::string> unused;
  for (const TensorInfo& tensor : checkpoint.tensors())
    if (!used.contains(tensor.name) &&
        (named_as_norm(tensor.name, true) || named_as_norm(tensor.name, false)))
      unused.push_back(fmt::format("{} [{}]", tensor.name, fmt::join(tensor.shape, ", ")));
  if (!unused.empty())
    notes.push_back(fmt::format(
        "{} left out, named as a norm's but no scale of rank 1 or shift beside one: {}",
        unused.size() == 1 ? "one tensor is" : fmt::format("{} tensors are", unused.size()),
        first_few(unused)));
}

/// What the discovery found beside its sites.
struct Findings {
  std::set<std::string> used;  // tensors
  std::map<std::string, std::size_t> readings;
  std::map<std::string_view, std::vector<std::string>> no_norms;  // by reason

  void tell(std::vector<std::string>& notes) const {
    for (const auto& [reading, count] : readings)
      notes.push_back(fmt::format("scale and shift of {} are read from {}",
                                  count == 1 ? "one norm" : fmt::format("{} norms", count),
                                  reading));
    for (const auto& [why, stems] : no_norms)
      notes.push_back(fmt::format("not taken for a norm: {}: {}", first_few(stems), why));
  }
};

[[noreturn]] void throw_none(const Checkpoint& checkpoint, const Findings& findings) {
  if (!findings.no_norms.empty())
    throw UnsupportedError(fmt::format("{}: no norm: {}: {}", checkpoint.path().string(),
                                       first_few(findings.no_norms.begin()->second),
                                       findings.no_norms.begin()->first));
  throw MalformedError(
      fmt::format("{}: none of its {} tensors looks like a norm's scale (rank 1, named "
                  "…norm….weight or …ln….weight)",
                  checkpoint.path().string(), checkpoint.tensors().size()));
}

}  // namespace

DiscoveredNorms discover_norms(const Checkpoint& checkpoint, NormKind kind, double weight_offset) {
  DiscoveredNorms found;
  Findings findings;
  const Siblings siblings(checkpoint);
  for (const TensorInfo& tensor : checkpoint.tensors()) {
    const auto named = tensor.shape.size() == 1 ? named_as_norm(tensor.name, true) : std::nullopt;
    if (!named) continue;
    // LayerScale beside a norm's own weight is called gamma too.
    if (!tensor.name.ends_with(".weight") && checkpoint.find(named->stem + ".weight") != nullptr)
      continue;
    if (const auto why = siblings.why_no_norm(named->stem, tensor); !why.empty()) {
      findings.no_norms[why].push_back(named->stem);
      findings.used.insert({tensor.name, shift_beside(checkpoint, *named, tensor)});
      continue;
    }
    NormSite site;
    site.name = named->stem;
    site.kind = kind;
    site.hidden_size = tensor.shape[0];
    site.weight = tensor.name;
    site.weight_offset = weight_offset;
    site.bias = shift_beside(checkpoint, *named, tensor);
    findings.used.insert({site.weight, site.bias});
    if (named->reading.scale != ".weight")
      ++findings.readings[fmt::format("{}, {}", last_component(tensor.name),
                                      site.bias.empty() ? "no shift" : last_component(site.bias))];
    found.sites.push_back(std::move(site));
  }
  if (found.sites.empty()) throw_none(checkpoint, findings);
  std::sort(found.sites.begin(), found.sites.end(),
            [](const NormSite& a, const NormSite& b) { return comes_before(a.name, b.name); });
  mark_final(found.sites);
  findings.tell(found.notes);
  note_unused(checkpoint, findings.used, found.notes);
  return found;
}

}  // namespace deadray
