#include <string>

#include "host/architecture/architecture.h"
#include "host/architecture/catalogue.h"
#include "host/architecture/config.h"
#include "tests/fuzz/fuzz_input.h"

// A config.json, and the model that it describes.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace deadray;
  fuzz::expect_answer_or_error([&] {
    const Config config = Config::parse(std::string(fuzz::text_of(data, size)), "config.json");
    norm_sites(describe_architecture(config), nullptr);
  });
  return 0;
}
