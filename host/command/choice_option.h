#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace deadray {

/// The values that an option may have, each under the word that a user writes for it.
template <class Value>
using Choices = std::vector<std::pair<std::string, Value>>;

/// @param word_of  gives the word of a value
template <class Value>
Choices<Value> choices_of(const std::vector<Value>& values, std::string_view (*word_of)(Value)) {
  Choices<Value> choices;
  for (const Value value : values) choices.emplace_back(word_of(value), value);
  return choices;
}
/// Under the words that to_string() gives.
template <class Value>
Choices<Value> choices_of(const std::vector<Value>& values) {
  return choices_of<Value>(values,
                           [](Value value) -> std::string_view { return to_string(value); });
}

/// Takes one of the words; any other is refused, with those that there are and the nearest.
CLI::Validator one_of(std::vector<std::string> words);

/// @return one_of() the words of the choices
template <class Value>
CLI::Validator one_of(const Choices<Value>& choices) {
  std::vector<std::string> words;
  for (const auto& [word, value] : choices) words.push_back(word);
  return one_of(std::move(words));
}

/// The value of a word that one_of() let pass.
template <class Value>
Value value_of(const Choices<Value>& choices, const std::string& word) {
  for (const auto& [known, value] : choices)
    if (word == known) return value;
  throw CLI::ValidationError(word);
}

/// Adds an option whose value is one of the choices; an unknown word is a usage error.
template <class Value, class Target>
CLI::Option* add_choice(CLI::App& command, const std::string& name, Target& target,
                        const Choices<Value>& choices, const std::string& description) {
  const auto take = [&target, choices](const std::string& word) {
    target = value_of(choices, word);
  };
  return command.add_option_function<std::string>(name, take, description)->check(one_of(choices));
}

/// The same, with the word of the value that the target has already as the default in the help.
template <class Value>
CLI::Option* add_choice_with_default(CLI::App& command, const std::string& name, Value& target,
                                     const Choices<Value>& choices,
                                     const std::string& description) {
  CLI::Option* option = add_choice(command, name, target, choices, description);
  for (const auto& [word, value] : choices)
    if (value == target) option->default_str(word);
  return option;
}

/// Adds an option of several of the choices, with commas between.
template <class Value>
CLI::Option* add_choice_list(CLI::App& command, const std::string& name, std::vector<Value>& target,
                             const Choices<Value>& choices, const std::string& description) {
  const auto take = [&target, choices](const std::vector<std::string>& words) {
    target.clear();
    for (const std::string& word : words) target.push_back(value_of(choices, word));
  };
  return command.add_option_function<std::vector<std::string>>(name, take, description)
      ->delimiter(',')
      ->check(one_of(choices));
}

}  // namespace deadray
