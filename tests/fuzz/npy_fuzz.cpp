#include "host/formats/numpy/npy.h"
#include "tests/fuzz/fuzz_input.h"

// A NumPy array of token ids.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace deadray;
  const fuzz::MemoryFile file(fuzz::text_of(data, size));
  fuzz::expect_answer_or_error([&] { read_npy(file.path()); });
  return 0;
}
