#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "host/base/stopwatch.h"

namespace deadray {

/// One line on standard error that is written over and over: what, how far, time left. Silent
/// unless standard error is a terminal.
class Progress {
 public:
  Progress(std::string what, bool quiet);
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void show(std::int64_t done, std::int64_t total);
  /// @param where  how far, in words
  /// @param left   seconds; absent: not known
  void show(std::string_view where, std::optional<double> left);
  void clear();

 private:
  std::string what_;
  bool enabled_;
  bool shown_ = false;
  Stopwatch watch_;
};

}  // namespace deadray
