#pragma once

#include <fmt/format.h>

#include <string>

#include "tests/support/temporary_folder.h"

namespace deadray::test {

/// A script in place of deadray-hub, in a folder of its own, that notes its arguments and gives the
/// answers that are laid there.
class StandInHub {
 public:
  StandInHub() {
    answer("exit 9\n");
    fs::permissions(folder_ / "deadray-hub", fs::perms::owner_all);
  }
  const fs::path& folder() const noexcept { return folder_.path(); }
  /// Lines of sh that run at its next call.
  void answer(const std::string& lines) {
    write_text(folder_ / "deadray-hub",
               fmt::format("#!/bin/sh\necho \"$*\" >> '{}'\n{}", asked_file().string(), lines));
  }
  void answer_json(const std::string& json) { answer("cat <<'END'\n" + json + "\nEND\n"); }
  /// "deadray/hub/1" for models of which each is `{"folder": ...}` and so on.
  static std::string models(const std::string& list) {
    return R"({"schema": "deadray/hub/1", "models": [)" + list +
           R"(], "bytes": 1234, "requests": 5, "redirects": 1, "round_trips": 3, "seconds": 0.5})";
  }
  static std::string model(const fs::path& folder, const std::string& more = {}) {
    return fmt::format(
        R"({{"name": "org/name", "revision": "main", "commit": "{}", "folder": "{}",
        "endpoint": "https://hub.example", "source": "network", "file": null{}}})",
        std::string(40, 'c'), folder.string(), more);
  }
  /// The arguments of all calls, a line each.
  std::string asked() const { return fs::exists(asked_file()) ? read_text(asked_file()) : ""; }

 private:
  fs::path asked_file() const { return folder_ / "asked"; }
  TemporaryFolder folder_;
};

}  // namespace deadray::test
