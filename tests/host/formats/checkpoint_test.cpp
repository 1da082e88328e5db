#include "host/formats/checkpoint.h"

#include <sys/stat.h>

#include <cmath>

#include "tests/support/errors.h"
#include "tests/support/safetensors_bytes.h"
#include "tests/support/sharded_model.h"
#include "tests/support/temporary_folder.h"

namespace deadray::test {
namespace {

std::string open_error(const fs::path& model, ExitCode code = ExitCode::malformed) {
  return message_of(code, [&] { Checkpoint::open(model); });
}

TEST(CheckpointTest, ReadsWhatPythonsSafetensorsWrote) {
  const Checkpoint checkpoint = Checkpoint::open(DEADRAY_FIXTURES "/checkpoint/mixed.safetensors");
  EXPECT_EQ(checkpoint.tensors().size(), 8u);
  EXPECT_TRUE(checkpoint.notes().empty());
  const auto values = [&](std::string_view name) {
    return checkpoint.read_fp64(checkpoint.at(name));
  };
  EXPECT_EQ(values("ln_f.weight"), (std::vector<double>{1.0, -0.5, 3.0}));
  EXPECT_EQ(values("ln_f.bias"), (std::vector<double>{0.1f, 1e-45f, -3.4e38f}));
  EXPECT_EQ(values("half"), (std::vector<double>{65504.0, 0x1p-24, -0.0, 1.5}));
  EXPECT_TRUE(std::signbit(values("half")[2]));
  EXPECT_EQ(values("double"), (std::vector<double>{1.0 / 3, 5e-324}));
  EXPECT_EQ(values("größe.weight"), (std::vector<double>{2.0}));
  EXPECT_TRUE(values("empty").empty());
  EXPECT_EQ(checkpoint.at("half").shape, (std::vector<std::int64_t>{2, 2}));
  std::int64_t tokens[2];
  checkpoint.read(checkpoint.at("tokens"), tokens);
  EXPECT_EQ(tokens[0], -1);
  EXPECT_EQ(tokens[1], std::int64_t{1} << 40);
  std::uint8_t scalar = 0;
  checkpoint.read(checkpoint.at("scalar"), &scalar);
  EXPECT_EQ(scalar, 7);
}

TEST(CheckpointTest, ReadsASliceOfATensor) {
  const TemporaryFolder folder;
  const fs::path file = folder.write(
      "a.safetensors", safetensors(R"({"t":{"dtype":"I16","shape":[4],"data_offsets":[0,8]}})",
                                   bytes_of(std::vector<std::int16_t>{1, 2, 3, 4})));
  const Checkpoint checkpoint = Checkpoint::open(file);
  std::int16_t two[2];
  checkpoint.read(checkpoint.at("t"), 1, 2, two);
  EXPECT_EQ(two[0], 2);
  EXPECT_EQ(two[1], 3);
  message_of(ExitCode::internal, [&] { checkpoint.read(checkpoint.at("t"), 3, 2, two); });
}

TEST(CheckpointTest, OpensAFolderAndAShardedFolder) {
  const TemporaryFolder single, sharded;
  single.write("model.safetensors", one_tensor("a", 3.0f));
  single.write("training_args.bin", "not weights");
  const Checkpoint one = Checkpoint::open(single.path());
  EXPECT_EQ(one.read_fp64(one.at("a")), std::vector<double>{3.0});
  EXPECT_EQ(one.header_bytes(), one.at("a").offset);
  EXPECT_TRUE(one.notes().empty());

  write_sharded(sharded);
  for (const fs::path& model : {sharded.path(), sharded / "model.safetensors.index.json"}) {
    const Checkpoint two = Checkpoint::open(model);
    EXPECT_EQ(two.files().size(), 2u);
    EXPECT_EQ(two.read_fp64(two.at("a")), std::vector<double>{1.0});
    EXPECT_EQ(two.read_fp64(two.at("b")), std::vector<double>{2.0});
    EXPECT_TRUE(two.notes().empty());
    EXPECT_EQ(two.find("c"), nullptr);
  }
}

TEST(CheckpointTest, SuggestsNearNamesForATensorItLacks) {
  const TemporaryFolder folder;
  const Checkpoint checkpoint =
      Checkpoint::open(folder.write("m.safetensors", one_tensor("transformer.ln_f.weight")));
  EXPECT_TRUE(
      contains(message_of(ExitCode::malformed, [&] { checkpoint.at("ln_f.weight"); }),
               "no tensor 'ln_f.weight' among its 1; did you mean 'transformer.ln_f.weight'?"));
  EXPECT_FALSE(
      contains(message_of(ExitCode::malformed, [&] { checkpoint.at("lm_head"); }), "did you mean"));
}

TEST(CheckpointTest, RefusesToWidenQuantisedOrUnknownStorage) {
  const TemporaryFolder folder;
  const Checkpoint checkpoint = Checkpoint::open(folder.write(
      "m.safetensors", safetensors(R"({"f8":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[1,2]},
    "i8":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},
    "odd":{"dtype":"NF4","shape":[1000000000000,1000],"data_offsets":[2,3]},
    "ids":{"dtype":"I64","shape":[1],"data_offsets":[3,11]}})",
                                   "xyz12345678")));
  const auto complaint = [&](std::string_view name) {
    const std::string message =
        message_of(ExitCode::unsupported, [&] { checkpoint.read_fp64(checkpoint.at(name)); });
    EXPECT_EQ(message, message_of(ExitCode::unsupported,
                                  [&] { checkpoint.require_plain_float(checkpoint.at(name)); }));
    EXPECT_TRUE(contains(message, "m.safetensors: "));
    return message;
  };
  EXPECT_TRUE(
      contains(complaint("i8"), "tensor 'i8': stored as I8: dequantisation scale not found"));
  EXPECT_TRUE(
      contains(complaint("f8"), "tensor 'f8': stored as F8_E4M3: dequantisation scale not found"));
  EXPECT_TRUE(contains(complaint("odd"), "tensor 'odd': dtype 'NF4' unknown"));
  EXPECT_TRUE(
      contains(complaint("ids"), "tensor 'ids': stored as I64, expected F64, F32, F16 or BF16"));
}

TEST(CheckpointTest, ReportsAFileTruncatedAfterItWasOpened) {
  const TemporaryFolder folder;
  const fs::path file =
      folder.write("m.safetensors",
                   safetensors(R"({"t":{"dtype":"F64","shape":[4096],"data_offsets":[0,32768]}})",
                               std::string(32768, '\0')));
  const Checkpoint checkpoint = Checkpoint::open(file);
  fs::resize_file(file, 1000);
  const std::string message =
      message_of(ExitCode::malformed, [&] { checkpoint.read_fp64(checkpoint.at("t")); });
  EXPECT_TRUE(contains(message, " to 1000 bytes since it was opened"));
  EXPECT_TRUE(contains(message, "tensor 't'"));
}

TEST(CheckpointTest, NamesAShardThatIsTruncated) {
  const TemporaryFolder folder;
  write_sharded(folder);
  const fs::path shard = folder / "two.safetensors";
  const std::string whole = read_text(shard);
  for (std::size_t n = 0; n < whole.size(); ++n) {
    folder.write("two.safetensors", whole.substr(0, n));
    EXPECT_TRUE(contains(open_error(folder.path()), shard.string())) << n << " bytes";
  }
}

TEST(CheckpointTest, SurvivesEveryTruncationAndEveryFlippedByte) {
  const TemporaryFolder folder;
  const std::string whole = read_text(DEADRAY_FIXTURES "/checkpoint/mixed.safetensors");
  for (std::size_t n = 0; n < whole.size(); ++n)
    open_error(folder.write("cut.safetensors", whole.substr(0, n)));
  std::size_t refused = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x15);
    const fs::path file = folder.write("flipped.safetensors", damaged);
    // A flipped value or letter of a name goes unnoticed; nothing may crash or throw anything else.
    try {
      const Checkpoint checkpoint = Checkpoint::open(file);
      for (const TensorInfo& tensor : checkpoint.tensors())
        if (is_plain_float(tensor.dtype)) checkpoint.read_fp64(tensor);
    } catch (const Error&) {
      ++refused;
    }
  }
  // Structure, offsets and field names alone are more than a quarter of the file.
  EXPECT_GT(refused, whole.size() / 4);
}

TEST(CheckpointTest, OpensAFileWithAUtf8Name) {
  const TemporaryFolder folder;
  const fs::path file = folder.write("modèle-重み.safetensors", one_tensor("größe"));
  EXPECT_NE(Checkpoint::open(file).find("größe"), nullptr);
  fs::resize_file(file, 3);
  EXPECT_TRUE(contains(open_error(file), "modèle-重み.safetensors: too short: 3 bytes"));
}

TEST(CheckpointTest, RefusesAPipeWithoutWaitingForIt) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "m.safetensors").c_str(), 0600), 0);
  EXPECT_TRUE(contains(open_error(folder / "m.safetensors"), "is a pipe, expected a regular file"));
}

TEST(CheckpointTest, RefusesAFolderInPlaceOfAFile) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "model.safetensors");
  EXPECT_TRUE(contains(open_error(folder.path()),
                       "model.safetensors: is a folder, expected a regular file"));
}

TEST(CheckpointTest, RefusesADevice) {
  EXPECT_TRUE(contains(open_error("/dev/null"), "is a device, expected a regular file"));
}

TEST(CheckpointTest, SaysWhenItMayNotRead) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read everything";
  const TemporaryFolder folder;
  const fs::path file = folder.write("m.safetensors", one_tensor("a"));
  fs::permissions(file, fs::perms::none);
  EXPECT_TRUE(contains(open_error(file, ExitCode::resources), "not allowed to read it"));
}

TEST(CheckpointTest, SaysWhenThePathDoesNotExist) {
  EXPECT_TRUE(contains(open_error("/nowhere/model", ExitCode::usage),
                       "/nowhere/model: no such file or folder"));
}

}  // namespace
}  // namespace deadray::test
