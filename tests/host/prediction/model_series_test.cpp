#include "host/prediction/model_series.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/temporary_folder.h"

namespace deadray::test {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;
using Steps = std::vector<std::int64_t>;

ModelSeries order(const Names& paths) { return order_models({paths.begin(), paths.end()}); }

TEST(ModelSeriesTest, SortsCheckpointsOfOneRunByTheirNumbers) {
  const ModelSeries run = order({"runs/step10", "runs/step2", "runs/step100/"});
  EXPECT_EQ(run.labels, (Names{"step2", "step10", "step100"}));
  EXPECT_EQ(run.steps, (Steps{2, 10, 100}));
  EXPECT_EQ(run.models.front(), "runs/step2");
  EXPECT_EQ(run.places, (std::vector<std::size_t>{1, 0, 2}));
  EXPECT_EQ(order({"checkpoint-1500", "checkpoint-500"}).steps, (Steps{500, 1500}));
  EXPECT_EQ(order({"b/00010", "b/00009"}).steps, (Steps{9, 10}));
}

TEST(ModelSeriesTest, FindsTheNumberWhereverItStands) {
  EXPECT_EQ(order({"a/step20/hf/model.safetensors", "a/step10/hf/model.safetensors"}).labels,
            (Names{"step10", "step20"}));
  EXPECT_EQ(order({"step2000-tokens8B", "step1000-tokens4B"}).steps, (Steps{1000, 2000}));
  EXPECT_EQ(order({"epoch=1-step=300", "epoch=1-step=100", "epoch=0-step=50"}).steps,
            (Steps{50, 100, 300}));
  EXPECT_EQ(order({"ckpt.20.safetensors", "ckpt.3.safetensors"}).steps, (Steps{3, 20}));
}

TEST(ModelSeriesTest, KeepsTheOrderOfOtherModels) {
  for (const Names& paths : {Names{"step2", "step1", "final"},
                             {"bert-2", "gpt-1"},
                             {"b", "a"},
                             {"step2", "step2"},
                             {"step2", "step18446744073709551616"}}) {
    const ModelSeries series = order(paths);
    EXPECT_EQ(series.labels, paths);
    EXPECT_TRUE(series.steps.empty());
    EXPECT_TRUE(std::is_sorted(series.places.begin(), series.places.end()));
  }
}

TEST(ModelSeriesTest, NamesAsMuchOfThePathAsTellsThemApart) {
  EXPECT_EQ(order({"x/bert", "y/bert"}).labels, (Names{"x", "y"}));
  EXPECT_EQ(order({"x/bert", "x/bert/ft"}).labels, (Names{"bert", "ft"}));
  EXPECT_EQ(order({"b/step1", "a/step1", "a/step2"}).labels,
            (Names{"b/step1", "a/step1", "a/step2"}));
  EXPECT_EQ(order({"a", "./a", "b"}).labels, (Names{"a", "a", "b"}));
  EXPECT_EQ(order({"one"}).labels, (Names{"one"}));
  EXPECT_EQ(order({"/", "/"}).labels, (Names{"/", "/"}));
}

TEST(ModelSeriesTest, FollowsLinksToFolders) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "step30");
  fs::create_directories(folder / "step4");
  fs::create_directory_symlink(folder / "step30", folder / "latest");
  const ModelSeries run = order({(folder / "latest").string(), (folder / "step4").string()});
  EXPECT_EQ(run.steps, (Steps{4, 30}));
  EXPECT_EQ(run.models.back(), folder / "latest") << "opened as it was given";
}

TEST(ModelSeriesTest, NamesSnapshotsOfTheHubByTheirRevisions) {
  const TemporaryFolder folder;
  const fs::path repository = folder / "models--org--name";
  const auto add = [&](char digit, const Names& revisions) {
    const std::string commit(40, digit);
    fs::create_directories(repository / "snapshots" / commit);
    fs::create_directories(repository / "refs");
    for (const std::string& revision : revisions)
      write_text(repository / "refs" / revision, commit + "\n");
    return (repository / "snapshots" / commit).string();
  };
  const std::string third = add('3', {"step3000", "main"}), first = add('1', {"step1000"}),
                    unnamed = add('9', {});
  write_text(repository / "refs" / "damaged", std::string(5000, 'x'));
  EXPECT_EQ(order({third, first}).labels, (Names{"step1000", "step3000"}));
  EXPECT_EQ(order({third, first}).steps, (Steps{1000, 3000}));
  EXPECT_EQ(order({third, unnamed}).labels, (Names{"step3000", "999999999999"}));
  EXPECT_EQ(order({first + "/b.safetensors", first + "/a.safetensors"}).labels,
            (Names{"b.safetensors", "a.safetensors"}));
}

}  // namespace
}  // namespace deadray::test
