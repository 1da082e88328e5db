#include "tests/fuzz/fuzz_input.h"

// A PyTorch file: a zip archive, the older stream of pickles, a tar archive.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  deadray::fuzz::open_and_read(deadray::fuzz::text_of(data, size));
  return 0;
}
