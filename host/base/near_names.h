#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace deadray {

/// The names of `known` that a user who wrote `wanted` may have meant, nearest first. Near are
/// names that differ by a prefix only ("h.0.ln_1" for "transformer.h.0.ln_1"), and those within an
/// edit distance (insertions, deletions, substitutions) of a third of its length.
std::vector<std::string> near_names(std::string_view wanted, std::span<const std::string> known,
                                    int most = 3);

/// "; did you mean 'a' or 'b'?", or "" when nothing is near.
std::string did_you_mean(std::string_view wanted, std::span<const std::string> known, int most = 3);

}  // namespace deadray
