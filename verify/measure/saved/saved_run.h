#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "verify/measure/saved/run_state.h"
#include "verify/ranks/communicator.h"

// What a long run has reached, kept in a folder so that a later one goes on from there.
namespace deadray {

/// The folder of one run: two files at most for each rank, the last state and the one before, until
/// all ranks have the last. A file appears whole or not at all, and has checksums.
class SavedRun {
 public:
  /// @param inputs  all that decides what the run finds; a state of other inputs is refused
  /// @param ranks   outlive this
  /// @throws ResourceError where the folder cannot be made or written
  SavedRun(std::filesystem::path folder, nlohmann::json inputs, Communicator& ranks);

  /// The last state that every rank has saved; empty where there is none. Collective.
  /// @throws UsageError for a state of other inputs, with the first that differs, or of another
  ///     number of ranks; MalformedError for a damaged file
  std::optional<RunState> load();
  /// Collective. @throws ResourceError where the disk is full
  void save(const RunState& state);

  /// After load(): whether there are states, but not of one block on every rank.
  bool lacks_parts() const noexcept { return lacks_parts_; }

 private:
  void refuse_other_ranks() const;
  std::optional<std::int64_t> last_common_node();

  std::filesystem::path folder_;
  nlohmann::json inputs_;
  Communicator& ranks_;
  bool lacks_parts_ = false;
};

/// After the result of all ranks is safe: the states of this run go, and the folder where nothing
/// else is in it. Collective.
void remove_saved_run(const std::filesystem::path& folder, Communicator& ranks);

}  // namespace deadray
