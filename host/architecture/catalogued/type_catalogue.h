#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/architecture/norm_site.h"

namespace deadray {

/// The norms of one place in the modules of a model type: one in each block, say.
struct CataloguedNorm {
  /// Stem of its tensors, numbers as "{}": "h.{}.ln_1". It follows one of the type's prefixes; with
  /// a leading '/' none.
  std::string name;
  std::vector<std::string> also;        ///< whole stems that other files write
  std::string scale = "weight", shift;  ///< endings of its tensors; no shift: empty
  NormKind kind = NormKind::layernorm;
  std::string not_predicted;  ///< why it is none of the two kinds; empty: it is one
  double offset = 0.0;        ///< gamma = stored + offset
  std::string eps_key;        ///< of config.json; empty: eps is the value
  double eps = 0.0;
  bool rows = false;      ///< the scale is [heads, width], a norm for each head
  bool is_final = false;  ///< of a pattern with numbers, the one of the largest
  bool in_some = false;   ///< not every block has one
  /// Stems of the linear maps that read it, as `name` is written; "{+1}" is the next block. Maps
  /// whose weight the embedding shares are `tied`.
  std::vector<std::string> reads, tied;
  bool read_by_these_alone = false;
};

/// A model inside another, under a key of config.json that holds its model_type and sizes.
struct CataloguedPart {
  std::string config;                 ///< "text_config"
  std::string model_type;             ///< where that key says none
  std::vector<std::string> prefixes;  ///< of its tensors
  bool is_final = false;              ///< its final norm is the model's
};

/// What running a model type's modules has shown of its norms.
struct CataloguedType {
  std::string model_type;
  std::string failed;  ///< why it could not be built; empty: it could
  std::vector<std::string> prefixes;
  std::vector<CataloguedNorm> norms;
  std::vector<CataloguedPart> parts;
  std::map<std::string, std::string> unscaled;  ///< norms that store nothing, and their kind
};

/// The catalogue of model types, which scripts/norm_catalogue writes: one line of JSON a type. A
/// line is parsed when its type is asked for.
class TypeCatalogue {
 public:
  /// @param file  an empty path, or one where nothing is: a catalogue without types
  /// @throws as InputFile does
  explicit TypeCatalogue(std::filesystem::path file);

  bool empty() const noexcept { return text_.empty(); }
  /// @throws MalformedError for a line that scripts/norm_catalogue did not write
  std::optional<CataloguedType> find(std::string_view model_type) const;
  /// All types in order of name; parses every line. @throws as find() does
  std::vector<CataloguedType> all() const;
  std::vector<std::string> names() const;

 private:
  CataloguedType parse(std::string_view line) const;
  std::filesystem::path file_;
  std::string text_;
};

}  // namespace deadray
