#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <fstream>
#include <string>

#include "host/base/error.h"
#include "tests/support/temporary_folder.h"

namespace deadray::test {

/// Calls `read` with a file that has these bytes but for a bit of every `step`th byte, and with one
/// that is cut off at every `step`th. It may throw an Error that
/// blames the file, and nothing else.
template <typename Read>
void read_damaged(const std::string& bytes, const std::string& name, std::size_t step, Read read) {
  const TemporaryFolder folder;
  const fs::path file = folder.write(name, bytes);
  const auto attempt = [&] {
    try {
      read(file);
    } catch (const Error& error) {
      EXPECT_NE(error.code(), ExitCode::internal) << error.what();
    }
  };
  std::fstream stream(file, std::ios::binary | std::ios::in | std::ios::out);
  const auto put = [&](std::size_t at, char byte) {
    stream.seekp(static_cast<std::streamoff>(at)).put(byte).flush();
  };
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    put(at, static_cast<char>(bytes[at] ^ 1 << at / step % 8));
    attempt();
    put(at, bytes[at]);
  }
  for (std::size_t length = bytes.size(); length-- > 0;) {
    if (length % step != 0) continue;
    fs::resize_file(file, length);
    attempt();
  }
}

}  // namespace deadray::test
