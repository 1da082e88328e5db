#include "verify/command/calibration_options.h"

#include <fmt/format.h>

#include "host/command/choice_option.h"
#include "host/command/common_options.h"

namespace deadray {

CLI::Option* add_init_option(CLI::App& command, Source& init, const std::string& description) {
  return add_choice_with_default(command, "--init", init,
                                 choices_of<Source>({Source::checkpoint, Source::random}),
                                 description);
}

std::vector<CLI::Option*> add_calibration_options(CLI::App& command, Source& init,
                                                  CalibrationRequest& request,
                                                  std::string_view default_tokens) {
  auto* weights = add_init_option(command, init,
                                  "Weights: the checkpoint's, or drawn at random by the family's "
                                  "own rule (config.json suffices)");
  auto* tokens =
      command.add_option("--tokens", request.tokens,
                         "Token file: .npy [batch, sequence], or safetensors with input_ids (and "
                         "attention_mask, position_ids, pixel_values, image_position_ids); of "
                         "pictures or clips with pixel_values or pixel_values_videos");
  auto* batch =
      command.add_option("--batch", request.batch, "Number of sequences, pictures or clips")
          ->check(positive_integer());
  auto* random_tokens =
      command
          .add_option(
              "--random-tokens", request.random_tokens,
              fmt::format(
                  "Number of random tokens, rounded up to whole sequences, pictures or clips ({})",
                  default_tokens))
          ->check(positive_integer())
          ->excludes(tokens)
          ->excludes(batch);
  auto* length = command
                     .add_option("--sequence-length", request.sequence_length,
                                 "Tokens of each sequence (256, or the most that the model takes)")
                     ->check(positive_integer());
  auto* skip = command
                   .add_option("--skip-tokens", request.skip_tokens,
                               "Leave the first K tokens of each sequence out of the statistics "
                               "(0); of those that attention_mask keeps")
                   ->check(CLI::NonNegativeNumber)
                   ->type_name("K");
  return {weights, tokens, batch, random_tokens, length, skip};
}

}  // namespace deadray
