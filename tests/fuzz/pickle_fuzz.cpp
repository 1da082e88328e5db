#include "tests/fuzz/fuzz_input.h"
#include "tests/support/zip_bytes.h"

// The pickle of a PyTorch archive. Alone it is out of reach of a fuzzer: the archive has its
// checksum.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace deadray;
  fuzz::open_and_read(test::zip_of({{"archive/data.pkl", std::string(fuzz::text_of(data, size))},
                                    {"archive/byteorder", "little"},
                                    {"archive/data/0", std::string(64, '\x01')},
                                    {"archive/version", "3\n"}})
                          .bytes);
  return 0;
}
