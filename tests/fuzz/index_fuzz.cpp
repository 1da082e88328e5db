#include "host/formats/shard_index.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/support/safetensors_bytes.h"
#include "tests/support/temporary_folder.h"

// The index of a sharded checkpoint, beside two shards.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace deadray;
  static const test::TemporaryFolder folder;
  [[maybe_unused]] static const bool written = [] {
    folder.write("a.safetensors", test::one_tensor("a"));
    folder.write("b.safetensors", test::one_tensor("b"));
    return true;
  }();
  const auto index = folder.write("model.safetensors.index.json", fuzz::text_of(data, size));
  fuzz::expect_answer_or_error([&] { fuzz::read_ends(Checkpoint::open(index)); });
  return 0;
}
