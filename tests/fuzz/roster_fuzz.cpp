#include "host/architecture/roster.h"
#include "tests/fuzz/fuzz_input.h"

// A roster: its names become file names, so that none may leave the folder of the results.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace deadray;
  const fuzz::MemoryFile file(fuzz::text_of(data, size));
  fuzz::expect_answer_or_error([&] {
    for (const RosterEntry& entry : read_roster(file.path()).models) {
      const std::filesystem::path name = entry.name + ".random.json";
      if (name != name.filename() || name.string().starts_with('.')) std::abort();
    }
  });
  return 0;
}
