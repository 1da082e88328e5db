// Runs a fuzz target on files, as a test: every seed, and every input that was once a finding.
//   X_replay FILE_OR_FOLDER...

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>

#include "tests/support/temporary_folder.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int count, char** names) {
  namespace fs = std::filesystem;
  int n_inputs = 0;
  const auto run = [&](const fs::path& file) {
    const std::string bytes = deadray::test::read_text(file);
    std::printf("%s\n", file.c_str());  // the last line names the input that ended the program
    std::fflush(stdout);
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    ++n_inputs;
  };
  for (int i = 1; i < count; ++i) {
    if (!fs::is_directory(names[i])) {
      run(names[i]);
      continue;
    }
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(names[i]))
      if (entry.is_regular_file()) run(entry.path());
  }
  if (n_inputs > 0) return 0;
  std::printf("no inputs\n");
  return 1;
}
