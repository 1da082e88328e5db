#include "host/command/choice_option.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "host/base/near_names.h"

namespace deadray {

CLI::Validator one_of(std::vector<std::string> words) {
  const std::string all = fmt::format("{{{}}}", fmt::join(words, ","));
  const auto check = [words = std::move(words), all](const std::string& text) {
    if (std::find(words.begin(), words.end(), text) != words.end()) return std::string();
    return fmt::format("{} not in {}{}", text, all, did_you_mean(text, words));
  };
  return CLI::Validator(check, all);
}

}  // namespace deadray
