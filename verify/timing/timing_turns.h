#pragma once

#include <vector>

#include "host/base/progress.h"
#include "verify/timing/contender.h"
#include "verify/timing/timing_record.h"

namespace deadray {

struct TurnOptions {
  int repetitions = 5;  ///< readings of each contender at most
  /// Seconds of readings after which a contender is not asked again. One reading is taken whatever
  /// it costs.
  double budget = 20;
  double limit = 3600;  ///< seconds; what will take longer, to judge by a smaller d, is skipped
};

/// Times the contenders of one problem in turn, round by round, so that what else runs on the
/// machine meets them alike, and adds their rows. A reading of something short is the mean of as
/// many calls as fill 50 ms. What takes less than a second runs once unmeasured before. A contender
/// that does not fit the memory, or fails for want of something, becomes a row without readings and
/// with the reason.
/// @param run  holds the rows of earlier problems, and gets those of this one, also where a stop
/// signal ends it
/// @throws Stopped
void take_turns(const std::vector<Contender>& contenders, const TimedProblem& problem,
                const TurnOptions& options, Progress& progress, TimingRun& run);

}  // namespace deadray
