#pragma once

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>
#include <string>
#include <utility>

// Times as people read them; inline, since `bench kernels` links nothing of what measures models.
namespace deadray {

/// "2026-11-24T12:34:56Z"
inline std::string utc_now() { return fmt::format("{:%FT%TZ}", fmt::gmtime(std::time(nullptr))); }

/// Three significant digits: "412 ns", "27.5 µs", "1.25 s"; whole seconds from a thousand on.
inline std::string duration(double seconds) {
  static constexpr std::pair<double, const char*> kUnits[] = {
      {1e-9, "ns"}, {1e-6, "µs"}, {1e-3, "ms"}, {1.0, "s"}};
  for (const auto& [unit, name] : kUnits)  // from 999.5 on three digits would be 1e+03
    if (seconds < 999.5 * unit) return fmt::format("{:.3g} {}", seconds / unit, name);
  return fmt::format("{:.0f} s", seconds);
}

/// Of what one waits for: "12 s", "7 min", "3.2 h".
inline std::string long_duration(double seconds) {
  if (seconds < 120) return fmt::format("{:.0f} s", seconds);
  return seconds < 7200 ? fmt::format("{:.0f} min", seconds / 60)
                        : fmt::format("{:.1f} h", seconds / 3600);
}

}  // namespace deadray
