#include "kernels/cuda/workspace.h"

#include <gtest/gtest.h>

#include <vector>

namespace deadray::kernels::cuda {
namespace {

TEST(WorkspacePiecesTest, PiecesLieOneBehindTheOtherAlignedAsCudaMallocAligns) {
  alignas(256) char memory[2048];
  WorkspacePieces pieces(memory);
  EXPECT_EQ(static_cast<void*>(pieces.take<double>(33)), memory);  // 264 bytes
  EXPECT_EQ(static_cast<void*>(pieces.take<int>(1)), memory + 512);
  EXPECT_EQ(static_cast<void*>(pieces.take<char>(256)), memory + 768);
  EXPECT_EQ(static_cast<void*>(pieces.rest<double>()), memory + 1024);
  EXPECT_EQ(pieces.used(), 1024U);
}

TEST(WorkspacePiecesTest, CountsWithoutMemoryWhatItDealsOutWithIt) {
  std::vector<char> memory(8192);
  WorkspacePieces counted(nullptr), dealt(memory.data());
  for (const std::int64_t count : {0, 1, 31, 32, 33, 500}) {
    EXPECT_EQ(counted.take<double>(count), nullptr);
    dealt.take<double>(count);
    EXPECT_EQ(counted.used(), dealt.used()) << count;
  }
  EXPECT_EQ(counted.rest<double>(), nullptr);
}

}  // namespace
}  // namespace deadray::kernels::cuda
