#include "verify/command/verify_options.h"

#include <limits>
#include <vector>

#include "host/command/choice_option.h"
#include "host/command/named_models.h"
#include "verify/base/dtypes.h"
#include "verify/command/calibration_options.h"

namespace deadray {
namespace {

/// Options for a model and for a file of activations.
void add_measuring_options(CLI::App& command, VerifyOptions& options) {
  add_choice_with_default(
      command, "--method", options.method,
      choices_of<Method>({Method::eigh, Method::certificate, Method::directional}),
      "eigh: all eigenvalues, and the eigenvectors that the verdict reads; certificate: Cholesky "
      "and Lanczos; directional: no covariance");
  command
      .add_option("--seed", options.calibration.seed,
                  "Seed of random weights, tokens and directions")
      ->capture_default_str();
  command.add_option("--device", options.device, "cpu, cuda or cuda:N")->capture_default_str();
  command.add_option("--threads", options.threads, "Threads (all cores)")
      ->check(positive_integer());
  add_model_options(command, options.relative_tau, options.checkpoint);
}

void add_options_of_activations(CLI::App& command, VerifyOptions& options,
                                CLI::Option* activations) {
  add_choice(command, "--norm", options.norm,
             choices_of<NormKind>({NormKind::layernorm, NormKind::rmsnorm}),
             "Kind of norm of --activations, where its metadata does not say")
      ->needs(activations);
  command
      .add_option("--eps", options.eps,
                  "Epsilon of the norm of --activations, where its metadata does not say")
      ->check(number_below(std::numeric_limits<double>::infinity()))
      ->needs(activations);
}

/// @return the options that exclude --activations: its file brings rows, in a dtype, of one norm
std::vector<CLI::Option*> add_options_of_models(CLI::App& command, VerifyOptions& options) {
  std::vector<CLI::Option*> own =
      add_calibration_options(command, options.init, options.calibration, "max(1.25 d, 4096)");
  auto* site = command.add_option("--site", options.site, "final, all, or the name of one norm")
                   ->capture_default_str();
  auto* dtype =
      add_choice_with_default(command, "--dtype", options.dtype,
                              choices_of<DType>({DType::f32, DType::bf16, DType::f64}, long_name),
                              "Number type of the forward pass. Measurements are always FP64");
  auto* residual =
      command.add_flag("--residual", options.residual,
                       "Also the smallest singular value of the residual stream at every block");
  auto* dump = command.add_option(
      "--dump", options.dump,
      "Write residual.0 ... residual.L and final_norm.output to a safetensors file");
  auto* logits = command.add_flag("--dump-logits", options.dump_logits, "Add the logits to --dump")
                     ->needs(dump);
  auto* dry_run =
      command.add_flag("--dry-run", options.dry_run,
                       "Say what the run would take, and stop; 6 where that does not fit");
  auto* saved = command.add_option(
      "--checkpoint", options.saved,
      "Save the run in this folder as it goes; the same command goes on from there");
  saved->excludes(dump)->check([](const std::string& folder) {
    return folder.empty() ? "expected a folder" : "";  // such as of a variable that is not set
  });
  auto* every = command
                    .add_option("--every", options.minutes,
                                "Minutes after which --checkpoint saves, at the end of a block")
                    ->capture_default_str()
                    ->check(number_below(1e6))
                    ->needs(saved);
  own.insert(own.end(), {dry_run, site, dtype, residual, dump, logits, saved, every});
  return own;
}

}  // namespace

void add_verify_options(CLI::App& command, VerifyOptions& options) {
  auto* model = command.add_option(
      "MODEL", options.model,
      "Folder with config.json and weights, a file of weights with a config.json beside it, or "
      "org/name[@revision] of the hub");
  auto* activations = command.add_option(
      "--activations", options.activations,
      "Instead of a model: a safetensors file with weight, bias, and input or output of one norm");
  add_measuring_options(command, options);
  add_options_of_activations(command, options, activations);
  for (CLI::Option* option : add_options_of_models(command, options)) option->excludes(activations);
  activations->excludes(model);
  add_download_option(command, options.download);
  add_output_options(command, options.output);
}

}  // namespace deadray
