#include "host/formats/pytorch/pytorch_archive.h"

#include "host/formats/checkpoint.h"
#include "tests/support/damaged_file.h"
#include "tests/support/errors.h"
#include "tests/support/pickle_bytes.h"
#include "tests/support/same_values.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/zip_bytes.h"

namespace deadray::test {
namespace {

using namespace std::string_literals;

const fs::path kArchiveFolder = DEADRAY_FIXTURES "/containers/pytorch";

std::string archive_complaint(const fs::path& file, ExitCode code = ExitCode::malformed) {
  return message_of(code, [&] { Checkpoint::open(file); });
}

/// An archive whose pickle is {"a": tensor}, with storage 0 of four float32.
ZipBytes one_view(const PickledView& view, const std::string& name = "a") {
  const std::string four = bytes_of(std::vector<float>{1, 2, 3, 4});
  return zip_of({{"x/data.pkl", pickled("}" + pickled_text(name) + pickled_tensor(view) + "s")},
                 {"x/data/0", four}});
}

class PyTorchFileTest : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Fixtures, PyTorchFileTest,
                         ::testing::Values("types", "views", "parameters", "protocol3", "protocol4",
                                           "protocol5", "other-writer", "no-folder", "zip64",
                                           "stream", "stream-protocol4", "stream-views", "tar",
                                           "training", "training-stream"));

TEST_P(PyTorchFileTest, IsReadAsTorchReadsIt) {
  const std::string name = GetParam();
  const Checkpoint found = Checkpoint::open(kArchiveFolder / (name + ".bin"));
  EXPECT_EQ(found.format(), ContainerFormat::pytorch);
  expect_same_values(found, Checkpoint::open(kArchiveFolder / (name + ".safetensors")));
  const bool opened = name.starts_with("training");
  ASSERT_EQ(found.notes().size(), opened ? 1U : 0U);
  for (const std::string& note : found.notes())
    EXPECT_TRUE(contains(note, name + ".bin: the weights are taken from ['model']['state_dict']"));
}

TEST(PyTorchArchiveTest, ThrowsOrReadsWhereAFileIsCutOrABitFlipped) {
  for (const std::string name : {"types", "zip64", "stream-views", "tar", "training"})
    read_damaged(read_text(kArchiveFolder / (name + ".bin")), "t.bin", 3, [](const fs::path& file) {
      const Checkpoint checkpoint = Checkpoint::open(file);
      for (const TensorInfo& tensor : checkpoint.tensors())
        if (tensor.dtype != DType::unknown && tensor.elements() < 10'000)
          stored_values(checkpoint, tensor, 1000);
    });
}

TEST(PyTorchArchiveTest, ReadsItsTablesAlone) {
  const TemporaryFolder folder;
  std::vector<ZipPart> parts{{"x/data.pkl", ""}, {"x/data/0", std::string(4'000'000, 'x')}};
  parts[0].content = pickled("}" + pickled_text("a") +
                             pickled_tensor({.elements = 1'000'000, .shape = {1'000'000}}) + "s");
  const Checkpoint checkpoint = Checkpoint::open(folder.write("t.pt", zip_of(parts).bytes));
  EXPECT_LT(checkpoint.header_bytes(), 1000U);
  EXPECT_EQ(checkpoint.at("a").bytes, 4'000'000U);
}

TEST(PyTorchArchiveTest, OpensWhatPeopleHave) {
  for (const auto& [name, key] : {std::pair{"deepspeed", "module"}, {"nanogpt", "model"}}) {
    const Checkpoint checkpoint = Checkpoint::open(fs::path(DEADRAY_FIXTURES "/situations/files") /
                                                   (std::string(name) + ".pt"));
    ASSERT_EQ(checkpoint.notes().size(), 1U);
    EXPECT_TRUE(contains(checkpoint.notes()[0], "taken from ['"s + key + "']"));
    EXPECT_EQ(checkpoint.at("transformer.wte.weight").shape, (std::vector<std::int64_t>{32, 16}));
  }
}

TEST(PyTorchArchiveTest, RefusesWhatItsPickleCallsByName) {
  for (const auto& [name, called] : {std::pair{"calls", "posix.system"},
                                     {"calls-stream", "posix.system"},
                                     {"calls-in-array", "posix.system"},
                                     {"namespace", "argparse.Namespace"},
                                     {"module", "torch.nn.modules.linear.Linear"}})
    EXPECT_TRUE(contains(
        archive_complaint(kArchiveFolder / (std::string(name) + ".bin"), ExitCode::unsupported),
        ".bin: refused: its pickle calls "s + called +
            "; a file of weights needs tensors and dictionaries only: save the "
            "model's state_dict() alone"));
  EXPECT_FALSE(fs::exists("it-ran"));
}

TEST(PyTorchArchiveTest, SaysWhatAFileWithoutWeightsHolds) {
  EXPECT_TRUE(contains(archive_complaint(kArchiveFolder / "list.bin", ExitCode::unsupported),
                       "no tensors in it: a list of 3 found"));
  EXPECT_TRUE(
      contains(archive_complaint(kArchiveFolder / "unknown-container.bin", ExitCode::unsupported),
               "no tensors in it: a dict of 2 with the keys 'ema', 'step' found"));
  EXPECT_TRUE(contains(archive_complaint(kArchiveFolder / "deep.bin", ExitCode::unsupported),
                       "deep.bin['model']['model']: no tensors"));
  EXPECT_TRUE(contains(archive_complaint(kArchiveFolder / "script.bin", ExitCode::unsupported),
                       "a TorchScript program, not a table of tensors"));
  EXPECT_TRUE(
      contains(archive_complaint(kArchiveFolder / "plain-pickle.bin", ExitCode::unsupported),
               "is a Python pickle that torch.save() did not write"));
  const TemporaryFolder folder;
  EXPECT_TRUE(contains(archive_complaint(folder.write("t.zip", zip_of({{"model.pdf", "x"}}).bytes),
                                         ExitCode::unsupported),
                       "a zip archive without data.pkl: not a PyTorch checkpoint"));
}

TEST(PyTorchArchiveTest, TellsOfTensorsItCannotReadWhenTheyAreRead) {
  const Checkpoint checkpoint = Checkpoint::open(kArchiveFolder / "unreadable.bin");
  EXPECT_EQ(checkpoint.read_fp64(checkpoint.at("weight")), (std::vector<double>{1, 2}));
  EXPECT_EQ(checkpoint.at("meta").shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(checkpoint.find("_extra_state"), nullptr);
  for (const auto& [name, said] : {std::pair{"complex", "ComplexFloatStorage"},
                                   {"quantised", "quantised"},
                                   {"sparse", "sparse"},
                                   {"meta", "meta, stored without values"},
                                   {"fnuz", "float8_e4m3fnuz"},
                                   {"vast", "F32, 1 elements repeated 1099511627776 times"}})
    EXPECT_TRUE(contains(
        message_of(ExitCode::unsupported, [&] { checkpoint.read_fp64(checkpoint.at(name)); }),
        "tensor '"s + name + "': dtype '" + said + "' unknown to deadray"));
}

TEST(PyTorchArchiveTest, HoldsTensorsToTheirStorage) {
  const TemporaryFolder folder;
  const std::int64_t most = std::numeric_limits<std::int64_t>::max();
  const auto said = [&](const PickledView& view) {
    return archive_complaint(folder.write("t.bin", one_view(view).bytes));
  };
  EXPECT_TRUE(contains(said({.shape = {5}}),
                       "tensor 'a': shape [5], strides [1] and offset 0 of F32 end at byte 20 of a "
                       "storage of 16"));
  EXPECT_TRUE(contains(said({.offset = 1}), "end at byte 20"));
  EXPECT_TRUE(contains(said({.shape = {2, 2}, .strides = {3, 1}}), "end at byte 20"));
  EXPECT_TRUE(contains(said({.shape = {2, 2}}), "1 strides for shape [2,2]"));
  EXPECT_TRUE(contains(said({.elements = 8}), "should have 32 bytes from byte 0 on, the file has"));
  EXPECT_TRUE(contains(said({.key = "1"}), "refers to member 'x/data/1', which is not there"));
  EXPECT_TRUE(contains(said({.shape = {most, 4}, .strides = {0, 0}}), "overflow"));
  EXPECT_TRUE(contains(said({.shape = {2}, .strides = {most}}), "overflow"));
  EXPECT_TRUE(contains(said({.offset = most}), "overflow"));
  EXPECT_TRUE(contains(said({.elements = most}), "overflow"));
  const std::vector<std::int64_t> many(65, 1);
  EXPECT_TRUE(contains(said({.shape = many, .strides = many}), "65 dimensions, expected at most"));
  const Checkpoint sound =
      Checkpoint::open(folder.write("t.bin", one_view({.offset = 1, .shape = {3}}).bytes));
  EXPECT_EQ(sound.read_fp64(sound.at("a")), (std::vector<double>{2, 3, 4}));
}

TEST(PyTorchArchiveTest, TakesTheLastOfEqualNamesAndRefusesWhatIsNoUtf8) {
  const TemporaryFolder folder;
  const std::string state = "}" + pickled_text("a") + pickled_tensor({}) + "s" + pickled_text("a") +
                            pickled_tensor({.shape = {2}}) + "s";
  const std::string four(16, '\0');
  const Checkpoint checkpoint = Checkpoint::open(
      folder.write("t.bin", zip_of({{"data.pkl", pickled(state)}, {"data/0", four}}).bytes));
  ASSERT_EQ(checkpoint.tensors().size(), 1U);
  EXPECT_EQ(checkpoint.at("a").shape, (std::vector<std::int64_t>{2}));
  EXPECT_TRUE(contains(archive_complaint(folder.write("t.bin", one_view({}, "a\xff").bytes)),
                       "byte 1 of its name is not UTF-8"));
}

TEST(PyTorchArchiveTest, HoldsNoNameAgainAndAgain) {
  // One name of 1000 bytes, remembered as number 0, set for tensor number 1 a hundred times.
  std::string state =
      "}" + pickled_text(std::string(1000, 'a')) + "q\0"s + pickled_tensor({}) + "q\1s";
  for (int i = 0; i < 100; ++i) state += "h\0h\1s"s;
  const TemporaryFolder folder;
  const fs::path file = folder.write(
      "t.bin", zip_of({{"data.pkl", pickled(state)}, {"data/0", std::string(16, '\0')}}).bytes);
  EXPECT_TRUE(contains(archive_complaint(file), "the names of its tensors take more bytes than"));
}

TEST(PyTorchArchiveTest, NamesADamagedArchive) {
  const TemporaryFolder folder;
  const auto said = [&](const ZipBytes& zip, ExitCode code = ExitCode::malformed) {
    return archive_complaint(folder.write("t.bin", zip.bytes), code);
  };
  EXPECT_TRUE(contains(archive_complaint(kArchiveFolder / "compressed.bin", ExitCode::unsupported),
                       "member 'a/data.pkl' is compressed (2520 bytes out of"));
  ZipBytes zip = one_view({});
  zip.bytes[zip.local[0] + 45] ^= 1;
  EXPECT_TRUE(contains(said(zip), "member 'x/data.pkl': its bytes have the CRC"));
  zip = one_view({});
  zip.set(zip.central[1] + 42, std::uint32_t{5});
  EXPECT_TRUE(contains(said(zip), "overlaps"));
  zip = one_view({});
  zip.bytes.resize(zip.bytes.size() / 2);
  EXPECT_TRUE(contains(said(zip), "no end record in its"));
  EXPECT_TRUE(contains(said(zip_of({{"x/data.pkl", ""}, {"y/data.pkl", ""}})),
                       "has two pickles, 'x/data.pkl' and 'y/data.pkl'"));
  EXPECT_TRUE(contains(
      said(zip_of({{"x/data.pkl", pickled("N")}, {"x/byteorder", "big"}}), ExitCode::unsupported),
      "byte order 'big', deadray reads 'little'"));
  CheckpointOptions small;
  small.max_header_bytes = 115;  // more than the directory takes, less than the pickle
  const fs::path file = folder.write("t.bin", one_view({}).bytes);
  EXPECT_TRUE(contains(message_of(ExitCode::malformed, [&] { Checkpoint::open(file, small); }),
                       "--max-header to raise"));
}

/// Checksums of storages are not compared: that would read them all.
TEST(PyTorchArchiveTest, ReadsAStorageAsItIs) {
  const TemporaryFolder folder;
  ZipBytes zip = one_view({});
  zip.set(zip.local[1] + 30 + 8, 7.0F);
  const Checkpoint checkpoint = Checkpoint::open(folder.write("t.bin", zip.bytes));
  EXPECT_EQ(checkpoint.read_fp64(checkpoint.at("a")), (std::vector<double>{7, 2, 3, 4}));
}

TEST(PyTorchArchiveTest, NamesADamagedStream) {
  const TemporaryFolder folder;
  const std::string whole = read_text(kArchiveFolder / "stream-views.bin");
  EXPECT_TRUE(contains(archive_complaint(folder.write("t.bin", whole.substr(0, whole.size() - 1))),
                       "storage '94' at byte"));
  EXPECT_TRUE(
      contains(archive_complaint(folder.write("t.bin", whole.substr(0, 100))), "pickle ends at"));
  std::string version = whole;
  version.replace(version.find("M\xe9\x03"), 3, "M\xea\x03");
  EXPECT_TRUE(contains(archive_complaint(folder.write("t.bin", version), ExitCode::unsupported),
                       "version of its stream: the number 1002 found, 1001 expected"));
  std::string count = whole;
  count.replace(whole.size() - 56, 8, bytes_of(~std::uint64_t{0}));
  EXPECT_TRUE(
      contains(archive_complaint(folder.write("t.bin", count)), "48 bytes are left: truncated"));
}

TEST(PyTorchArchiveTest, NamesADamagedTar) {
  const TemporaryFolder folder;
  const std::string whole = read_text(kArchiveFolder / "tar.bin");
  EXPECT_TRUE(contains(archive_complaint(folder.write("t.bin", whole.substr(0, 600))),
                       "tar archive: member 'storages' takes"));
  EXPECT_TRUE(contains(
      archive_complaint(folder.write("t.bin", whole.substr(0, 1024)), ExitCode::unsupported),
      "a tar archive without the member 'tensors'"));
}

TEST(PyTorchArchiveTest, TakesNoSafetensorsHeaderForAPickle) {
  // 640 is written 80 02 00 …, which begins as pickles of protocol 2 do.
  const std::string entry = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  const TemporaryFolder folder;
  const fs::path file = folder.write(
      "t.bin", safetensors(entry + std::string(640 - 1 - entry.size(), ' ') + "}", "abcd"));
  EXPECT_EQ(Checkpoint::open(file).format(), ContainerFormat::safetensors);
}

}  // namespace
}  // namespace deadray::test
