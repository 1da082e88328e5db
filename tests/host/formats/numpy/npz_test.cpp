#include "host/formats/numpy/npz.h"

#include "host/formats/checkpoint.h"
#include "tests/support/damaged_file.h"
#include "tests/support/errors.h"
#include "tests/support/same_values.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/zip_bytes.h"

namespace deadray::test {
namespace {

const fs::path kNpzFolder = DEADRAY_FIXTURES "/containers/numpy";

std::string array_bytes(std::string_view dict, std::string_view data) {
  return std::string("\x93NUMPY\x01\0", 8) + bytes_of(static_cast<std::uint16_t>(dict.size())) +
         std::string(dict) + std::string(data);
}

std::string npz_complaint(const fs::path& file, ExitCode code = ExitCode::malformed) {
  return message_of(code, [&] { Checkpoint::open(file); });
}

TEST(NpzTest, ReadsWhatNumpyWrote) {
  const Checkpoint found = Checkpoint::open(kNpzFolder / "plain.npz");
  EXPECT_EQ(found.format(), ContainerFormat::numpy);
  EXPECT_TRUE(found.notes().empty());
  EXPECT_LT(found.header_bytes(), 5000U);
  expect_same_values(found, Checkpoint::open(kNpzFolder / "plain.safetensors"));
}

TEST(NpzTest, SaysWhatToDoWithOtherArrays) {
  EXPECT_TRUE(contains(npz_complaint(kNpzFolder / "compressed.npz", ExitCode::unsupported),
                       "array 'weight.npy': is compressed (928 bytes out of"));
  EXPECT_TRUE(contains(npz_complaint(kNpzFolder / "compressed.npz", ExitCode::unsupported),
                       "numpy.savez(), not numpy.savez_compressed()"));
  EXPECT_TRUE(contains(npz_complaint(kNpzFolder / "objects.npz", ExitCode::unsupported),
                       "array 'names.npy': an array of Python objects"));
  EXPECT_TRUE(contains(npz_complaint(kNpzFolder / "big-endian.npz", ExitCode::unsupported),
                       "array 'weight.npy': dtype '>f4' is big-endian"));
}

TEST(NpzTest, TellsOfAnUnknownTypeWhenItIsRead) {
  const Checkpoint checkpoint = Checkpoint::open(kNpzFolder / "complex.npz");
  EXPECT_EQ(checkpoint.read_fp64(checkpoint.at("weight")), (std::vector<double>{1, 1}));
  EXPECT_TRUE(contains(
      message_of(ExitCode::unsupported, [&] { checkpoint.read_fp64(checkpoint.at("wave")); }),
      "'wave': dtype '<c8' unknown"));
}

TEST(NpzTest, NamesADamagedArray) {
  const TemporaryFolder folder;
  const auto said = [&](std::string_view dict, std::string_view data) {
    return npz_complaint(folder.write("t.npz", zip_of({{"w.npy", array_bytes(dict, data)}}).bytes));
  };
  EXPECT_TRUE(contains(said("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", "12345678"),
                       "array 'w.npy': 8 bytes of data, expected 12 for shape (3) of <f4"));
  EXPECT_TRUE(contains(
      said("{'descr': '<f4', 'fortran_order': True, 'shape': (4611686018427387904, 4)}", ""),
      "array 'w.npy': shape (4611686018427387904, 4) overflows"));
  EXPECT_TRUE(contains(said("{'descr': '<f4'", ""), "array 'w.npy': header has"));
  EXPECT_TRUE(contains(npz_complaint(folder.write("t.npz", zip_of({{"w.npy", "short"}}).bytes)),
                       "array 'w.npy': too short: 5 bytes"));
  const std::string mixed = zip_of({{"w.npy", array_bytes("{}", "")}, {"note.txt", "x"}}).bytes;
  EXPECT_TRUE(contains(npz_complaint(folder.write("t.npz", mixed)), "header lacks key 'descr'"));
}

TEST(NpzTest, ThrowsOrReadsWhereAFileIsCutOrABitFlipped) {
  read_damaged(read_text(kNpzFolder / "plain.npz"), "t.npz", 3, [](const fs::path& file) {
    const Checkpoint checkpoint = Checkpoint::open(file);
    for (const TensorInfo& tensor : checkpoint.tensors())
      if (tensor.dtype != DType::unknown) stored_values(checkpoint, tensor, 1000);
  });
}

}  // namespace
}  // namespace deadray::test
