#include "host/formats/shard_index.h"

#include <string>
#include <string_view>
#include <vector>

#include "host/formats/checkpoint.h"
#include "tests/support/errors.h"
#include "tests/support/sharded_model.h"

namespace deadray::test {
namespace {

std::string index_error(const fs::path& model) {
  return message_of(ExitCode::malformed, [&] { Checkpoint::open(model); });
}

TEST(ShardIndexTest, NamesAMissingShardAndWhatItLoses) {
  const TemporaryFolder folder;
  write_sharded(folder,
                R"("a":"one.safetensors","b":"two.safetensors",
      "h.0.ln_1.weight":"three.safetensors","w":"three.safetensors")");
  EXPECT_TRUE(contains(
      index_error(folder.path()),
      "shard 'three.safetensors' is missing: 2 of 4 tensors lost, 1 of them norm parameters"));
}

TEST(ShardIndexTest, NamesATensorThatItsShardLacks) {
  const TemporaryFolder folder;
  for (const char* map : {R"("a":"one.safetensors","b":"two.safetensors","B":"two.safetensors")",
                          R"("a":"one.safetensors","b":"two.safetensors","z":"two.safetensors")"}) {
    write_sharded(folder, map);
    EXPECT_TRUE(contains(index_error(folder.path()), "to two.safetensors, which does not hold it"));
  }
  write_sharded(folder, R"("a":"two.safetensors","b":"two.safetensors")");
  EXPECT_TRUE(contains(index_error(folder.path()), "maps tensor 'a' to two.safetensors"));
}

TEST(ShardIndexTest, TakesTheCopyThatTheIndexNames) {
  const TemporaryFolder folder;
  write_sharded(folder, R"("a":"two.safetensors","c":"one.safetensors")");
  const std::string both =
      R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},
      "c":{"dtype":"F32","shape":[],"data_offsets":[4,8]}})";
  folder.write("one.safetensors", safetensors(both, bytes_of(1.0f) + bytes_of(5.0f)));
  folder.write("two.safetensors", one_tensor("a", 9.0f));
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  EXPECT_EQ(checkpoint.tensors().size(), 2u);
  EXPECT_EQ(checkpoint.read_fp64(checkpoint.at("a")), std::vector<double>{9.0});
  EXPECT_EQ(checkpoint.notes().size(), 1u);
}

TEST(ShardIndexTest, RefusesShardPathsThatLeaveTheFolder) {
  const TemporaryFolder folder;
  folder.write("outside.safetensors", one_tensor("a"));
  fs::create_directories(folder / "model");
  fs::create_symlink(folder / "outside.safetensors", folder / "model/link.safetensors");
  const auto complaint = [&](std::string_view shard) {
    folder.write("model/model.safetensors.index.json",
                 index_of("\"a\":\"" + std::string(shard) + "\""));
    return index_error(folder / "model");
  };
  EXPECT_TRUE(
      contains(complaint("../outside.safetensors"),
               "shard '../outside.safetensors': unsafe path: leaves the folder through '..'"));
  EXPECT_TRUE(
      contains(complaint((folder / "outside.safetensors").string()), "unsafe path: is absolute"));
  EXPECT_TRUE(
      contains(complaint("link.safetensors"), "shard 'link.safetensors': unsafe path: links to "));
  EXPECT_TRUE(contains(complaint(""), "unsafe path"));
}

TEST(ShardIndexTest, FollowsTheLinksOfTheHuggingFaceCache) {
  const TemporaryFolder cache;
  cache.write("models--x/blobs/0a", one_tensor("a"));
  cache.write("models--x/snapshots/c0/model.safetensors.index.json",
              index_of(R"("a":"s.safetensors")"));
  fs::create_symlink("../../blobs/0a", cache / "models--x/snapshots/c0/s.safetensors");
  EXPECT_NE(Checkpoint::open(cache / "models--x/snapshots/c0").find("a"), nullptr);
}

TEST(ShardIndexTest, NamesWhatIsWrongWithAnIndex) {
  const TemporaryFolder folder;
  const auto complaint = [&](std::string_view text) {
    folder.write("model.safetensors.index.json", text);
    return index_error(folder.path());
  };
  EXPECT_TRUE(contains(complaint("{}"), "index.json: key 'weight_map' is missing"));
  EXPECT_TRUE(contains(complaint("[]"), "index.json: is [] (an array), expected a JSON object"));
  EXPECT_TRUE(contains(complaint("{\"weight_map\": 3}"), "key 'weight_map' is 3 (an integer)"));
  EXPECT_TRUE(contains(complaint("{\"weight_map\": {}}"), "key 'weight_map' is empty"));
  EXPECT_TRUE(contains(complaint("{\"weight_map\": {\"a\": 1}}"),
                       "tensor 'a': is mapped to 1 (an integer)"));
  EXPECT_TRUE(contains(complaint("{\n\"weight_map\": oops}"), "not JSON at line 2, column 15"));
  EXPECT_TRUE(contains(complaint(std::string(200'000, '[')), "nested deeper than 100 levels"));
}

}  // namespace
}  // namespace deadray::test
