#include "tests/fuzz/fuzz_input.h"

// A NumPy archive: a zip directory, and the header of each array.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  deadray::fuzz::open_and_read(deadray::fuzz::text_of(data, size));
  return 0;
}
