#include "host/architecture/architecture.h"
#include "host/architecture/catalogue.h"
#include "host/architecture/gguf/gguf_model.h"
#include "tests/fuzz/fuzz_input.h"

// A GGUF file: its keys and tensors, then the model that they describe.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace deadray;
  const fuzz::MemoryFile file(fuzz::text_of(data, size));
  fuzz::expect_answer_or_error([&] {
    Checkpoint checkpoint = Checkpoint::open(file.path());
    fuzz::read_ends(checkpoint);
    if (checkpoint.format() != ContainerFormat::gguf) return;
    if (!is_known_gguf(checkpoint)) {
      gguf_norms(checkpoint);
      return;
    }
    const Architecture architecture = describe_architecture(take_gguf_as_family(checkpoint));
    fuzz::read_ends(checkpoint);
    norm_sites(architecture, &checkpoint);
  });
  return 0;
}
