#include "verify/suite/shard.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <optional>
#include <utility>
#include <vector>

#include "tests/support/errors.h"
#include "tests/support/variable.h"
#include "verify/suite/suite.h"

namespace deadray::test {
namespace {

TEST(ShardTest, IsAPartCountedFromZero) {
  for (const char* text : {"0/1", "0/4", "3/4", "12/100"})
    EXPECT_EQ(to_string(parse_shard(text)), text);
  for (const char* text : {"", "/", "1", "1/", "/2", "0/0", "-1/2", "+1/2", "1/-2", " 0/2", "0/2 ",
                           "1/2/3", "0x1/2", "1.0/2", "first", "one/two", "0/99999999999999999999"})
    EXPECT_TRUE(contains(message_of(ExitCode::usage, [&] { parse_shard(text); }), "expected I/N"));
  for (const char* text : {"4/3", "3/3", "1/1"})
    EXPECT_TRUE(contains(message_of(ExitCode::usage, [&] { parse_shard(text); }),
                         "parts are counted from 0"));
}

TEST(ShardTest, PartsTakeEveryRowOnce) {
  Roster roster;
  for (const char* name : {"a", "b", "c"}) roster.models.emplace_back().name = name;
  SuiteOptions options;
  const auto names = [&] {
    std::vector<std::string> list;
    for (const Row& row : rows_of(roster, options)) list.push_back(row.name());
    return list;
  };
  using Names = std::vector<std::string>;
  options.shard = {0, 4};
  EXPECT_EQ(names(), (Names{"a.random", "c.random"}));
  options.shard = {1, 4};
  EXPECT_EQ(names(), (Names{"a.checkpoint", "c.checkpoint"}));
  options.shard = {3, 4};
  EXPECT_EQ(names(), (Names{"b.checkpoint"}));
  options.shard = {6, 7};
  EXPECT_EQ(names(), Names{}) << "more parts than rows";
  options.shard = {1, 2}, options.only = {"c", "b"}, options.init = {Source::random};
  EXPECT_EQ(names(), (Names{"c.random"})) << "of the rows that were asked for";
}

/// What Slurm gives the tasks of an array, as its 22.05 was seen to do.
struct Array {
  const char *id, *count, *least, *most, *step;
  std::optional<Shard> shard() const {
    const Variable variables[] = {{"SLURM_ARRAY_TASK_ID", id},
                                  {"SLURM_ARRAY_TASK_COUNT", count},
                                  {"SLURM_ARRAY_TASK_MIN", least},
                                  {"SLURM_ARRAY_TASK_MAX", most},
                                  {"SLURM_ARRAY_TASK_STEP", step}};
    return shard_of_slurm_array();
  }
};

TEST(ShardTest, IsATasksPlaceInItsSlurmArray) {
  EXPECT_FALSE(shard_of_slurm_array());
  const std::initializer_list<std::pair<Array, const char*>> cases = {
      {{"0", "4", "0", "3", "1"}, "0/4"}, {{"3", "4", "0", "3", "1"}, "3/4"},
      {{"1", "3", "1", "3", "1"}, "0/3"}, {{"3", "3", "1", "3", "1"}, "2/3"},
      {{"4", "3", "0", "8", "4"}, "1/3"}, {{"9", "3", "1", "9", "4"}, "2/3"},
      {{"5", "2", "1", "5", "4"}, "1/2"}, {{"2", "1", "2", "2", "1"}, "0/1"},
  };
  for (const auto& [array, part] : cases) {
    const auto shard = array.shard();
    ASSERT_TRUE(shard);
    EXPECT_EQ(to_string(*shard), part);
  }
}

TEST(ShardTest, RefusesAnArrayThatLeavesGaps) {
  for (const char* id : {"1", "3", "7"})  // --array=1,3,7: all of its tasks, not the last alone
    EXPECT_TRUE(
        contains(message_of(ExitCode::usage, [&] { Array{id, "3", "1", "7", "1"}.shard(); }),
                 "--shard I/N"));
  for (const Array& array : {Array{"x", "3", "0", "2", "1"}, Array{"0", "", "0", "2", "1"},
                             Array{"0", "3", "1", "3", "1"}, Array{"1", "2", "0", "2", "2"}})
    EXPECT_TRUE(contains(message_of(ExitCode::usage, [&] { array.shard(); }), "--shard I/N"));
  const Variable id("SLURM_ARRAY_TASK_ID", "0");
  EXPECT_TRUE(contains(message_of(ExitCode::usage, [] { shard_of_slurm_array(); }),
                       "SLURM_ARRAY_TASK_COUNT is not set"));
}

}  // namespace
}  // namespace deadray::test
