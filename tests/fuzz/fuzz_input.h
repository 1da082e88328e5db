#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>

#include <sys/mman.h>
#include <unistd.h>

#include "host/base/error.h"
#include "host/formats/checkpoint.h"

// What the fuzz targets share. A target is one LLVMFuzzerTestOneInput(): it may throw away what
// deadray refuses, and nothing else. libFuzzer runs it on inputs of its own making, replay.cpp on
// the seeds.
namespace deadray::fuzz {

/// Bytes that have a path, without a disk.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view bytes) : descriptor_(::memfd_create("input", MFD_CLOEXEC)) {
    if (descriptor_ < 0) std::abort();
    for (std::size_t done = 0; done < bytes.size();) {
      const ssize_t wrote = ::write(descriptor_, bytes.data() + done, bytes.size() - done);
      if (wrote <= 0) std::abort();
      done += static_cast<std::size_t>(wrote);
    }
  }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  ~MemoryFile() { ::close(descriptor_); }

  std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// Runs `body`; an error that blames the input is a fine answer, a defect of deadray is not.
template <typename Body>
void expect_answer_or_error(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    if (error.code() == ExitCode::internal || std::string_view(error.what()).empty()) std::abort();
  }
}

/// The first and last few elements of every tensor: what is refused then is refused by Error too.
inline void read_ends(const Checkpoint& checkpoint) {
  constexpr std::int64_t kFew = 40;
  std::byte buffer[kFew * 8];
  for (const TensorInfo& tensor : checkpoint.tensors())
    expect_answer_or_error([&] {
      const std::int64_t count = std::min(kFew, tensor.elements());
      checkpoint.read(tensor, 0, count, buffer);
      checkpoint.read_fp64(tensor, tensor.elements() - count, count);
    });
}

/// Opens one file as a checkpoint, and reads it.
inline void open_and_read(std::string_view bytes) {
  const MemoryFile file(bytes);
  expect_answer_or_error([&] { read_ends(Checkpoint::open(file.path())); });
}

}  // namespace deadray::fuzz
