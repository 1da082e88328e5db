#include "verify/calibration/calibration.h"

#include <fmt/format.h>

namespace deadray {

void Calibration::note_if_fewer(const std::filesystem::path& from, std::int64_t held,
                                std::int64_t asked, std::string_view unit) {
  if (held < asked)
    notes.push_back(fmt::format("{}: holds {} {}, fewer than the {} asked for", from.string(), held,
                                unit, asked));
}

}  // namespace deadray
