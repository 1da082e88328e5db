#include "verify/device/memory.h"

#include <gtest/gtest.h>

#include <limits>

#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"

namespace deadray {
namespace {

class GroupAvailableTest : public testing::Test {
 protected:
  void level(const std::string& group, const std::string& limit, std::int64_t used,
             std::int64_t inactive, std::int64_t active) {
    std::filesystem::create_directories(root_ / group);
    root_.write(group + "/memory.max", limit + "\n");
    root_.write(group + "/memory.current", std::to_string(used) + "\n");
    root_.write(group + "/memory.stat", "anon 5\ninactive_file " + std::to_string(inactive) +
                                            "\nactive_file " + std::to_string(active) + "\n");
  }
  test::TemporaryFolder root_;
};

TEST_F(GroupAvailableTest, TheNarrowestLevelDecides) {
  level("a", "1000", 300, 0, 0);
  level("a/b", "2000", 100, 0, 0);
  EXPECT_EQ(group_available(root_.path(), "a/b"), 700);
}

// What was read from files fills the group up to its limit, and goes when memory is asked for.
TEST_F(GroupAvailableTest, PageCacheIsNotInUse) {
  level("a", "1000", 990, 500, 300);
  EXPECT_EQ(group_available(root_.path(), "a"), 810);
}

TEST_F(GroupAvailableTest, WithoutALimitThereIsNone) {
  level("a", "max", 990, 0, 0);
  EXPECT_EQ(group_available(root_.path(), "a"), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(group_available(root_.path(), "elsewhere"), std::numeric_limits<std::int64_t>::max());
}

TEST(RequireRoomTest, SaysWhatDoesNotFitAndWhatToDo) {
  const std::string message = test::message_of(ExitCode::resources, [] {
    require_room(cpu_backend(), 0x1p80, "m: a direction takes",
                 "give fewer tokens");  // more than any machine has
  });
  EXPECT_TRUE(message.starts_with("m: a direction takes ")) << message;
  EXPECT_TRUE(message.ends_with(" available; give fewer tokens")) << message;
  EXPECT_EQ(no_room(cpu_backend(), 1, "a byte takes"), "");
  EXPECT_NO_THROW(require_room(cpu_backend(), 1, "a byte takes", "give up"));
}

}  // namespace
}  // namespace deadray
