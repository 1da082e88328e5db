#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace deadray {

/// One part of a suite that several processes share: part `index` of `count`, counted from 0. It
/// takes every count-th row, so that neighbours in a roster, often alike in size, are spread.
struct Shard {
  std::int64_t index = 0, count = 1;
  bool takes(std::int64_t row) const noexcept { return row % count == index; }
};
/// "1/4", as the command line has it.
std::string to_string(const Shard& shard);

/// @throws UsageError for anything but I/N with 0 <= I < N
Shard parse_shard(std::string_view text);

/// The part of a Slurm array's task: its place among the array's indices, whichever they begin with
/// and whatever their step. Nothing outside an array.
/// @throws UsageError for an array whose indices leave gaps, such as 1,3,7: places in it are not
/// known
std::optional<Shard> shard_of_slurm_array();

}  // namespace deadray
