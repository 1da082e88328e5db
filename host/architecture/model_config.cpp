#include "host/architecture/model_config.h"

#include "host/architecture/gguf/gguf_model.h"
#include "host/base/error.h"
#include "host/base/input_file.h"
#include "host/formats/folder/model_folder.h"
#include "host/formats/gguf/gguf.h"

namespace deadray {
namespace {

bool holds_gguf(const std::filesystem::path& model) {
  try {
    return looks_like_gguf(InputFile(find_weights(model, /*strict=*/false).file));
  } catch (const Error&) {
    return false;  // no weights that could say anything
  }
}

}  // namespace

bool describes_itself(const Checkpoint& checkpoint) {
  return checkpoint.format() == ContainerFormat::gguf;
}

Config model_config(Checkpoint& checkpoint) {
  return describes_itself(checkpoint) ? take_gguf_as_family(checkpoint)
                                      : Config::load(checkpoint.path());
}

Config model_config(const std::filesystem::path& model, const CheckpointOptions& options) {
  if (!holds_gguf(model)) return Config::load(model);
  Checkpoint checkpoint = Checkpoint::open(model, options);
  return model_config(checkpoint);
}

Checkpoint open_weights(const std::filesystem::path& model, const CheckpointOptions& options) {
  Checkpoint checkpoint = Checkpoint::open(model, options);
  if (describes_itself(checkpoint)) take_gguf_as_family(checkpoint);
  return checkpoint;
}

}  // namespace deadray
