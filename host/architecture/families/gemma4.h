#pragma once

#include <cstdint>
#include <string>

#include "host/architecture/families/outline.h"

// What Gemma 4's language model and its vision tower share, and how the model puts them together.
namespace deadray {

/// An RMSNorm without name and width, multiplied by its scale before the rounding to a half type.
NormSpec gemma4_norm(const Config& config);

/// The norm without a scale, which stores nothing.
NormSpec without_scale(NormSpec norm);

/// How the blocks of text and of pictures differ.
struct SandwichForm {
  std::string layer;   ///< what stands before a block's names
  std::string inside;  ///< what stands between a map's name and ".weight": the tower wraps its maps
  std::int64_t n_kv_heads = 0, head_dim = 0;
  bool values_are_keys = false;
  bool bias = false;  ///< of attention's maps
};

/// A block with four norms of the stream's width, three over the heads, a gated MLP, and scores
/// without a scale.
BlockSpec sandwich_block(const Config& config, const SandwichForm& form);

/// @param stem  what stands before the text model's names, behind the checkpoint's prefix
Architecture describe_gemma4_language(const Config& text, const std::string& stem);

/// Gives the model its head. @param config  of the whole model, whose class decides
void add_gemma4_head(Architecture& architecture, const Config& config, const Config& text);

/// @param config  of the whole model
/// @param text_width  the language model's, into which pictures are projected
/// @return without the tokens that stand for a picture and around it
VisionTower describe_gemma4_tower(const Config& config, const Config& tower,
                                  std::int64_t text_width);

}  // namespace deadray
