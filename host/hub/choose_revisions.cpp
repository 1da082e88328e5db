#include "host/hub/choose_revisions.h"

#include <fnmatch.h>

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/near_names.h"
#include "host/hub/hub_name.h"

namespace deadray {
namespace {

bool is_pattern(const std::string& text) { return text.find_first_of("*?[") != std::string::npos; }

/// Without wildcards, what a pattern begins with.
std::string plain_start(const std::string& pattern) {
  return pattern.substr(0, pattern.find_first_of("*?["));
}

void add_once(std::vector<std::string>& chosen, const std::string& name) {
  if (std::find(chosen.begin(), chosen.end(), name) == chosen.end()) chosen.push_back(name);
}

void add_matching(std::vector<std::string>& chosen, const std::string& pattern,
                  const std::vector<std::string>& all) {
  bool any = false;
  for (const std::string& name : all)
    if (is_revision(name) && ::fnmatch(pattern.c_str(), name.c_str(), 0) == 0) {
      add_once(chosen, name);
      any = true;
    }
  if (any) return;
  throw UsageError(fmt::format("--revisions: no branch or tag is called {}; there {} {}{}",
                               in_quotes(pattern), all.size() == 1 ? "is" : "are", first_few(all),
                               did_you_mean(plain_start(pattern), all)));
}

}  // namespace

std::vector<std::string> choose_revisions(const std::vector<std::string>& list,
                                          const std::function<std::vector<std::string>()>& all) {
  std::vector<std::string> chosen;
  std::optional<std::vector<std::string>> known;
  for (const std::string& text : list) {
    if (is_pattern(text)) {
      if (!known) known = all();
      add_matching(chosen, text, *known);
    } else if (is_revision(text)) {
      add_once(chosen, text);
    } else {
      throw UsageError(fmt::format(
          "--revisions: {} is no name of a branch, tag or commit; give names with commas between",
          in_quotes(text)));
    }
  }
  return chosen;
}

}  // namespace deadray
