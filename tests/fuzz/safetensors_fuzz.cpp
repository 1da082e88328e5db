#include "tests/fuzz/fuzz_input.h"

// A safetensors file.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  deadray::fuzz::open_and_read(deadray::fuzz::text_of(data, size));
  return 0;
}
