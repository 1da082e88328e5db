#include "host/architecture/gguf/gguf_model.h"

#include "host/base/error.h"

namespace deadray {

bool is_known_gguf(const Checkpoint&) { return false; }

Config take_gguf_as_family(Checkpoint& checkpoint) {
  throw UnsupportedError(checkpoint.path().string() + ": GGUF models are not described yet");
}

std::vector<NormSite> gguf_norms(const Checkpoint& checkpoint) {
  throw UnsupportedError(checkpoint.path().string() + ": GGUF models are not described yet");
}

}  // namespace deadray
