#include "host/command/inputs.h"

#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "host/base/error.h"
#include "tests/support/errors.h"
#include "tests/support/sharded_model.h"
#include "tests/support/small_model.h"
#include "tests/support/spawned.h"

// What is read is not replaced by what is written, whatever the path.
namespace deadray::test {
namespace {

class InputsTest : public ::testing::Test {
 protected:
  void expect_refused(const fs::path& output, const Inputs& inputs) const {
    const std::string why = message_of(ExitCode::usage, [&] { refuse_to_replace(output, inputs); });
    EXPECT_TRUE(contains(why, output.string() + ": is"));
    EXPECT_TRUE(contains(why, "give the output another place"));
  }

  TemporaryFolder folder_;
  const fs::path model_ = folder_ / "model";
  Inputs the_model() const { return {{model_}, {}}; }
};

TEST_F(InputsTest, AFileIsTheSameByWhateverPathOrLink) {
  const fs::path tokens = folder_.write("tokens.npy", "x");
  const Inputs inputs{{}, {"", tokens}};
  fs::create_directory(folder_ / "sub");
  fs::create_symlink(tokens, folder_ / "link");
  fs::create_symlink(folder_.path(), folder_ / "sub/up");
  fs::create_hard_link(tokens, folder_ / "second_name");
  for (const char* name :
       {"tokens.npy", "./tokens.npy", "sub/../tokens.npy", "link", "second_name", "sub/up/link"})
    expect_refused(folder_ / name, inputs);
  folder_.write("another.npy", "x");
  for (const char* name : {"another.npy", "new.npy", "sub"})
    EXPECT_NO_THROW(refuse_to_replace(folder_ / name, inputs)) << name;
  EXPECT_NO_THROW(refuse_to_replace("/dev/null", {{}, {"/dev/null"}}));
}

TEST_F(InputsTest, EveryFileOfAModelsFolderButARecordStays) {
  write_small_gpt2(folder_.path());
  fs::create_directory(model_);
  fs::rename(folder_ / "config.json", model_ / "config.json");
  // As in the hub's cache: the folder has links, the weights lie elsewhere.
  fs::create_symlink(folder_ / "model.safetensors", model_ / "model.safetensors");
  folder_.write("model/tokenizer.json", "{}");
  folder_.write("model/roster.json", "{\n  \"schema\": \"deadray/roster/1\",");
  for (const char* name : {"model/config.json", "model/model.safetensors", "model.safetensors",
                           "model/tokenizer.json", "model/roster.json"})
    expect_refused(folder_ / name, the_model());
  folder_.write("model/record.json", "{\n  \"schema\": \"deadray/predict/1\",");
  for (const char* name : {"model/record.json", "model/new.json"})
    EXPECT_NO_THROW(refuse_to_replace(folder_ / name, the_model())) << name;
  // A file that is read stays, whatever it begins with.
  folder_.write("model/config.json", "{\n  \"schema\": \"deadray/predict/1\",");
  expect_refused(model_ / "config.json", the_model());
}

TEST_F(InputsTest, OfAFileOfWeightsWhatIsReadWithItStays) {
  write_sharded(folder_, R"("a":"one.safetensors","b":"sub/two.safetensors")");
  fs::create_directory(folder_ / "sub");
  fs::rename(folder_ / "two.safetensors", folder_ / "sub/two.safetensors");
  fs::create_hard_link(folder_ / "sub/two.safetensors", folder_ / "second_name");
  folder_.write("config.json", "{}");
  folder_.write("notes.txt", "beside it");
  const Inputs index{{folder_ / "model.safetensors.index.json"}, {}};
  for (const char* name : {"model.safetensors.index.json", "one.safetensors", "sub/two.safetensors",
                           "second_name", "config.json"})
    expect_refused(folder_ / name, index);
  EXPECT_NO_THROW(refuse_to_replace(folder_ / "notes.txt", index));
  expect_refused(folder_ / "notes.txt", {{folder_.path()}, {}});
  // One shard alone: the other is not read.
  const Inputs shard{{folder_ / "one.safetensors"}, {}};
  expect_refused(folder_ / "one.safetensors", shard);
  EXPECT_NO_THROW(refuse_to_replace(folder_ / "sub/two.safetensors", shard));
}

/// How often a folder was opened since.
class Openings {
 public:
  explicit Openings(const fs::path& folder) {
    // Equal events in a row count as one: closings stand between the openings.
    EXPECT_GE(inotify_add_watch(watch_, folder.c_str(), IN_OPEN | IN_CLOSE | IN_ONLYDIR), 0);
  }
  ~Openings() { close(watch_); }
  std::size_t count() const {
    alignas(inotify_event) char bytes[1 << 16];
    const ssize_t size = read(watch_, bytes, sizeof bytes);
    std::size_t count = 0;
    for (ssize_t at = 0; at < size;) {
      const auto& event = reinterpret_cast<const inotify_event&>(bytes[at]);
      count += event.len == 0 && (event.mask & IN_OPEN) != 0;  // a file in it has a name
      at += static_cast<ssize_t>(sizeof(inotify_event)) + event.len;
    }
    return count;
  }

 private:
  int watch_ = inotify_init1(IN_NONBLOCK);
};

TEST_F(InputsTest, ListsAModelsFolderOnceForManyOutputs) {
  fs::create_directory(model_);
  write_small_gpt2(model_);
  std::vector<fs::path> outputs;
  for (int i = 0; i < 20; ++i)
    outputs.push_back(folder_.write("out/" + std::to_string(i) + ".json", "{}"));
  const auto openings = [&](std::span<const fs::path> some, const Inputs& inputs) {
    const Openings seen(model_);
    refuse_to_replace(some, inputs);
    return seen.count();
  };
  const std::size_t once = openings(std::span(outputs).first(1), the_model());
  EXPECT_GE(once, 1U);
  EXPECT_EQ(openings(outputs, {{model_, model_, model_}, {}}), once);
  outputs.push_back(model_ / "config.json");
  EXPECT_THROW(refuse_to_replace(outputs, the_model()), UsageError);
}

TEST_F(InputsTest, PredictLeavesItsModelsAsTheyWere) {
  fs::create_directory(model_);
  write_small_gpt2(model_);
  const std::string model = model_.string(), weights = (model_ / "model.safetensors").string(),
                    before = read_text(weights);
  fs::create_symlink(weights, folder_ / "link");
  for (const std::string& file : {weights, (folder_ / "link").string()}) {
    expect_failure(ExitCode::usage, {"predict", model, "--json", file},
                   {file, "would be replaced"});
    expect_failure(ExitCode::usage, {"predict", weights, "--directions", file}, {file});
    expect_failure(ExitCode::usage, {"predict", "/nowhere", model, "--json", file}, {file});
  }
  EXPECT_EQ(read_text(weights), before);
  for (int i = 0; i < 2; ++i)  // its own record it writes anew
    EXPECT_EQ(Spawned({"predict", model, "--json", (model_ / "record.json").string()}).wait(), 0);
}

TEST_F(InputsTest, ConvertDoesSoEvenByForce) {
  fs::create_directory(model_);
  write_small_gpt2(model_);
  const std::string before = read_text(model_ / "model.safetensors");
  fs::create_directory(folder_ / "out");
  fs::create_symlink(model_ / "model.safetensors", folder_ / "out/model.safetensors");
  for (const fs::path& out : {model_, folder_ / "out"})
    expect_failure(ExitCode::usage, {"convert", model_.string(), out.string(), "--force"},
                   {"model.safetensors", "would be replaced"});
  EXPECT_EQ(read_text(model_ / "model.safetensors"), before);
}

}  // namespace
}  // namespace deadray::test
