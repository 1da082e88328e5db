#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include "host/architecture/architecture.h"
#include "host/architecture/catalogue.h"
#include "host/architecture/config.h"
#include "host/architecture/gguf/gguf_model.h"
#include "host/architecture/model_config.h"
#include "host/base/atomic_file.h"
#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/input_file.h"
#include "host/base/output.h"
#include "host/base/stop_signals.h"
#include "host/command/commands.h"
#include "host/command/inputs.h"
#include "host/command/named_models.h"
#include "host/formats/checkpoint.h"
#include "host/formats/safetensors_writer.h"

namespace deadray {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string model, folder;
  bool force = false, download = false;
};

/// What is to be written, and what there is to say.
struct Conversion {
  Checkpoint checkpoint;
  std::optional<std::string> config;        ///< text of config.json
  std::vector<const TensorInfo*> tensors;   ///< in order of the files' bytes
  std::map<std::string, std::string> tied;  ///< tensor left out: the one that holds its values
  std::map<std::string, double> offsets;    ///< scale: what it is to be stored less
};

bool are_one(const TensorInfo& a, const TensorInfo& b) {
  return !a.rows && !b.rows && a.file == b.file && a.offset == b.offset && a.dtype == b.dtype &&
         a.code == b.code && a.shape == b.shape;
}

/// The decoder of a model that shares its memory with the token table, which the model ties it to.
/// @return {decoder, table}; nulls where the model stores them apart, or cannot be described
std::pair<const TensorInfo*, const TensorInfo*> tied_pair(const Config& config,
                                                          const Checkpoint& checkpoint) try {
  const Architecture model = describe_architecture(config);
  const auto prefix = find_prefix(model, checkpoint);
  if (!prefix || !model.tokens || !model.head || !model.head->tied) return {};
  const auto stored = [&](const TensorSpec& tensor) {
    return checkpoint.find(stored_name(model, checkpoint, full_name(tensor.name, *prefix)));
  };
  const TensorInfo* decoder = stored(model.head->decoder.weights[0]);
  const TensorInfo* table = stored(model.tokens->table);
  const bool shared = decoder && table && decoder != table && are_one(*decoder, *table);
  return shared ? std::pair(decoder, table) : std::pair<const TensorInfo*, const TensorInfo*>();
} catch (const Error&) {  // an unknown type, a key that lacks: predict will say so
  return {};
}

/// config.json as transformers knows it, of a GGUF file. Its scales are whole where the family's
/// own files store them less 1: so shall ours.
Config describe_gguf(Conversion& made) {
  nlohmann::json json = take_gguf_as_family(made.checkpoint).json();
  const bool scales_are_whole = json.erase("scales_are_whole") > 0;
  Config config = Config::parse(json.dump(), made.checkpoint.path());
  if (scales_are_whole)
    for (const NormSite& site : norm_sites(describe_architecture(config), &made.checkpoint))
      if (site.weight_offset != 0) made.offsets.emplace(site.weight, site.weight_offset);
  made.config = json.dump(2) + "\n";
  return config;
}

/// Reads all headers and judges them; writes nothing.
Conversion prepare(const fs::path& model) {
  Conversion made{Checkpoint::open(model), {}, {}, {}, {}};
  std::optional<Config> config;
  if (made.checkpoint.format() == ContainerFormat::gguf) {
    config = describe_gguf(made);
  } else if (has_config(model)) {
    config = Config::load(model);
    made.config = read_text_file(config->path());
  }
  if (config)
    if (const auto [decoder, table] = tied_pair(*config, made.checkpoint); decoder)
      made.tied.emplace(decoder->name, table->name);
  for (const TensorInfo& tensor : made.checkpoint.tensors()) {
    if (made.tied.contains(tensor.name)) continue;
    if (tensor.dtype == DType::unknown)
      throw UnsupportedError(
          fmt::format("{}: tensor {}: dtype {} has no counterpart in safetensors",
                      made.checkpoint.files()[tensor.file].string(), in_quotes(tensor.name),
                      in_quotes(tensor.stored_dtype)));
    made.tensors.push_back(&tensor);
  }
  std::sort(made.tensors.begin(), made.tensors.end(), [](const auto* a, const auto* b) {
    return std::tie(a->file, a->offset, a->name) < std::tie(b->file, b->offset, b->name);
  });
  return made;
}

/// A scale less what a converter added, as float32.
void append_less(const Checkpoint& checkpoint, const TensorInfo& scale, double offset,
                 SafetensorsWriter& writer) {
  std::vector<float> values;
  for (const double x : checkpoint.read_fp64(scale))
    values.push_back(static_cast<float>(x - offset));
  writer.append(std::as_bytes(std::span(values)));
}

/// Holds a piece of one tensor at a time, not the model.
void write_tensors(const Conversion& made, const fs::path& target) {
  constexpr std::int64_t kPiece = 1 << 20;  // elements
  std::vector<TensorDeclaration> declarations;
  for (const TensorInfo* tensor : made.tensors)
    declarations.push_back({tensor->name,
                            made.offsets.contains(tensor->name) ? DType::f32 : tensor->dtype,
                            tensor->shape});
  std::map<std::string, std::string> metadata = made.tied;
  metadata["format"] = "pt";  // without it transformers refuses the file
  SafetensorsWriter writer(target, declarations, metadata);
  std::vector<std::byte> piece;
  for (const TensorInfo* tensor : made.tensors) {
    if (const auto offset = made.offsets.find(tensor->name); offset != made.offsets.end()) {
      append_less(made.checkpoint, *tensor, offset->second, writer);
      continue;
    }
    made.checkpoint.will_need(*tensor);
    const std::int64_t elements = tensor->elements();
    for (std::int64_t first = 0; first < elements; first += kPiece) {
      throw_if_stopped();
      const std::int64_t count = std::min(kPiece, elements - first);
      piece.resize(static_cast<std::size_t>(count) * size_of(tensor->dtype));
      made.checkpoint.read(*tensor, first, count, piece.data());
      writer.append(piece);
    }
  }
  writer.finish();
}

void make_folder(const fs::path& folder) {
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed)
    throw ResourceError(fmt::format("{}: cannot be made: {}", folder.string(), failed.message()));
}

void require_absent(const fs::path& file) {
  std::error_code ignored;
  if (fs::exists(file, ignored))
    throw UsageError(file.string() + ": already there; --force replaces it");
}

int run_convert(Options options) {
  options.model = find_models({options.model}, HubPurpose::weights, "convert", options.download,
                              /*quiet=*/false)
                      .models.front()
                      .path.string();
  const fs::path folder = options.folder, target = folder / "model.safetensors",
                 config = folder / "config.json";
  refuse_to_replace(target, {{options.model}, {}});
  require_own_file(target);
  if (!options.force) require_absent(target);
  const Conversion made = prepare(options.model);
  std::error_code ignored;
  // What is copied onto itself stays; what is made from a file's own keys is new.
  const bool writes_config =
      made.config && (describes_itself(made.checkpoint) ||
                      !fs::equivalent(config_file(options.model), config, ignored));
  if (writes_config) {
    refuse_to_replace(config, {{options.model}, {}});
    require_own_file(config);
  }
  if (!options.force && writes_config) require_absent(config);

  catch_stop_signals();  // a stop unwinds the stack, so that a half-written file is removed
  make_folder(folder);
  write_tensors(made, target);
  if (writes_config) write_file_atomically(config, *made.config);
  for (const std::string& note : made.checkpoint.notes()) write_message("note: " + note);
  for (const auto& [decoder, table] : made.tied)
    write_message(fmt::format("note: {} is {}, which the model ties it to: stored once",
                              in_quotes(decoder), in_quotes(table)));
  if (!made.config)
    write_message(fmt::format("note: no config.json beside {}: put the model's own into {}",
                              options.model, options.folder));
  write_output(fmt::format("{}: {} tensors, {} bytes\n", on_one_line(target.string()),
                           made.tensors.size(), fs::file_size(target)));
  return static_cast<int>(ExitCode::done);
}

}  // namespace

void add_convert_command(CLI::App& app, Command& chosen) {
  CLI::App* command = app.add_subcommand(
      "convert",
      "Write a checkpoint of any format as one model.safetensors, with its config.json; deadray "
      "itself needs none");
  const auto options = std::make_shared<Options>();
  command
      ->add_option(
          "model", options->model,
          "A folder, a file, or the index of a sharded set: safetensors, PyTorch, GGUF, .npz; or "
          "org/name[@revision]")
      ->required()
      ->type_name("MODEL");
  command
      ->add_option("folder", options->folder,
                   "Where model.safetensors and config.json go. Quantised values of GGUF become "
                   "float32, and its config.json is made from its keys")
      ->required()
      ->type_name("OUT_FOLDER");
  add_download_option(*command, options->download);
  command->add_flag("--force", options->force, "Replace files that are already there");
  command->callback([options, &chosen] { chosen = [options] { return run_convert(*options); }; });
}

}  // namespace deadray
