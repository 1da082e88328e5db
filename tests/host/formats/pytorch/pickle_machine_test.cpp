#include "host/formats/pytorch/pickle_machine.h"

#include "tests/support/errors.h"
#include "tests/support/pickle_bytes.h"
#include "tests/support/temporary_folder.h"

namespace deadray::test {
namespace {

using namespace std::string_literals;

/// What a pickle builds, in words.
class PickleMachineTest : public ::testing::Test {
 protected:
  std::string built(const std::string& pickle) {
    PickleBytes bytes(file_, 0, pickle);
    heap_ = {};
    const PickleValue value = PickleMachine(bytes, heap_).load();
    return describe_pickled(value, heap_, bytes);
  }
  std::string complaint(const std::string& pickle, ExitCode code = ExitCode::malformed) {
    return message_of(code, [&] { built(pickle); });
  }
  std::string refusal(const std::string& pickle) {
    return complaint(pickle, ExitCode::unsupported);
  }

  TemporaryFolder folder_;
  InputFile file_{folder_.write("t.bin", "")};
  PickleHeap heap_;
};

TEST_F(PickleMachineTest, BuildsPlainValues) {
  EXPECT_EQ(built(pickled("N")), "None");
  EXPECT_EQ(built(pickled("\x88")), "True");
  EXPECT_EQ(built(pickled("K\xff")), "the number 255");
  EXPECT_EQ(built(pickled("M\xff\xff")), "the number 65535");
  EXPECT_EQ(built(pickled("J\xff\xff\xff\xff")), "the number -1");
  EXPECT_EQ(built(pickled("\x8a\x02\x00\xff"s)), "the number -256");
  EXPECT_EQ(built(pickled("\x8a\x00"s)), "the number 0");
  EXPECT_EQ(built(pickled(pickled_number(-5))), "the number -5");
  EXPECT_EQ(built(pickled("\x8a\x09" + std::string(9, '\1'))), "a number");
  EXPECT_EQ(built(pickled("G" + std::string(8, '\0'))), "a number");
  EXPECT_EQ(built(pickled(pickled_text("größe"))), "the text 'größe'");
  EXPECT_EQ(built(pickled("U\x03"
                          "abc")),
            "the text 'abc'");
  EXPECT_EQ(built(pickled("C\x03"
                          "abc")),
            "3 bytes");
  EXPECT_EQ(built(pickled("(K\1K\2K\3K\4t")), "a tuple of 4");
  EXPECT_EQ(built(pickled("](K\1K\2eK\3a")), "a list of 3");
  EXPECT_EQ(built(pickled("}K\1K\2s(K\3K\4u")), "a dict of 2");
  EXPECT_EQ(built(pickled(pickled_global("torch", "Size") + "K\2K\3\x86\x85R")), "a tuple of 2");
  EXPECT_EQ(built(pickled(pickled_global("collections", "OrderedDict") + ")R}b")), "a dict of 0");
  EXPECT_EQ(built(pickled(pickled_global("collections", "OrderedDict") + "](](K\1K\2ee\x85R")),
            "a dict of 1")
      << "as Python 2 pickles it";
  EXPECT_EQ(built(pickled_tensor({}).insert(0, "\x80\x02") + "."), "a tensor");
}

TEST_F(PickleMachineTest, RefusesGlobalsOutsideTheListByName) {
  EXPECT_TRUE(contains(refusal(pickled(pickled_global("os", "system"))),
                       "t.bin: refused: its pickle calls os.system; a file of weights needs"));
  EXPECT_TRUE(contains(refusal(pickled(pickled_text("builtins") + pickled_text("eval") + "\x93")),
                       "its pickle calls builtins.eval"));
  for (const auto& [module, name] : {std::pair{"torch", "load"},
                                     {"torch._utils", "_rebuild"},
                                     {"torch.storage", "_load_from_bytes"},
                                     {"collections", "OrderedDict.x"},
                                     {"", "collections.OrderedDict"},
                                     {"torch", ""},
                                     {"builtins", "getattr"}})
    EXPECT_TRUE(contains(refusal(pickled(pickled_global(module, name))),
                         std::string("its pickle calls ") + module + "." + name));
  EXPECT_TRUE(contains(refusal(pickled(pickled_global("a\x1b[31m", "b"))), "a\\x1b[31m.b"));
}

TEST_F(PickleMachineTest, RefusesOperationsThatWeightsDoNotUse) {
  for (const char operation :
       {'P', 'i', 'o', 'I', 'L', 'S', 'V', 'F', 'g', 'p', 'd', 'l', '\x82', '\x92', '\x97', '\x98'})
    EXPECT_TRUE(contains(refusal(pickled(std::string(1, operation) + "x\ny\n")),
                         "t.bin: pickle: byte 2 has operation "));
  EXPECT_TRUE(contains(refusal("\x80\x01N."), "protocol 1, expected 2 to 5"));
  EXPECT_TRUE(contains(refusal("\x80\x06N."), "protocol 6, expected 2 to 5: save the model's"));
  // What no pickle has is damage.
  EXPECT_TRUE(contains(complaint(pickled("\xff")),
                       "has 0xff, which is no operation: truncated or "
                       "damaged, fetch it again"));
}

TEST_F(PickleMachineTest, RefusesOperationsOnTheWrongKind) {
  for (const std::string operations :
       {"K\1)R", "K\1K\2R", "]}b", "K\1}b", "]K\1K\2s", "}K\1a", ")K\1a", "](K\1K\2u", "}(K\1u",
        "}(K\1e", "](K\1\x90", "K\1K\2\x93", "NQ", ")Q", "K\7Q"})
    complaint(pickled(operations));
  const std::string rebuild = pickled_global("torch._utils", "_rebuild_tensor_v2"),
                    parameter = pickled_global("torch._utils", "_rebuild_parameter"),
                    dict = pickled_global("collections", "OrderedDict");
  EXPECT_TRUE(contains(complaint(pickled(rebuild + ")R")), "with 0 arguments"));
  EXPECT_TRUE(
      contains(complaint(pickled(rebuild + "(K\1K\2))tR")), "makes a tensor of the number"));
  EXPECT_TRUE(contains(complaint(pickled(parameter + "K\1\x85R")), "a parameter of the number 1"));
  EXPECT_TRUE(contains(complaint(pickled(dict + "]K\1a\x85R")), "expected a pair"));
  EXPECT_TRUE(contains(complaint(pickled(pickled_global("torch", "FloatStorage") + ")R")),
                       "which is no function"));
  EXPECT_TRUE(contains(complaint(pickled(pickled_tensor({.shape = {-1}}))), "expected a number"));
  EXPECT_TRUE(contains(complaint(pickled(pickled_tensor({.type = "Size"}))), "('storage', class"));
}

TEST_F(PickleMachineTest, NamesTheByteWhereAPickleEnds) {
  const std::string whole = pickled(pickled_text("abc") + pickled_tensor({}) + "\x86");
  for (std::size_t length = 0; length < whole.size(); ++length)
    EXPECT_TRUE(contains(complaint(whole.substr(0, length)),
                         "pickle ends at byte " + std::to_string(length)));
  for (const std::string empty :
       {"", "0", "1", "2", "a", "e", "s", "u", "t", "\x85", "R", "b", "q"})
    complaint(pickled(empty + std::string(1, '\0')));
  complaint(pickled("K\1(0"));  // what is below a mark is not taken
}

TEST_F(PickleMachineTest, BelievesNoLength) {
  const std::string huge = bytes_of(std::uint64_t{1} << 62), most(4, '\xff');
  for (const std::string& operations :
       {"X" + most, "B" + most, "T" + most, "\x8b" + most, "\x8d" + huge, "\x8e" + huge,
        "\x96" + huge, "\x8d" + std::string(8, '\xff')})
    EXPECT_TRUE(contains(complaint(pickled(operations + "abc")), "were expected: truncated"));
  EXPECT_TRUE(contains(complaint(pickled("Nr" + most)), "remembers a value under number 42949"));
  EXPECT_TRUE(contains(complaint(pickled("j" + most)), "recalls value number 4294967295"));
  EXPECT_TRUE(contains(complaint(pickled("h\5")), "recalls value number 5"));
}

TEST_F(PickleMachineTest, SharedValuesDoNotBlowUp) {
  // Thirty lists, each ten times the one before: ten values a level here, 10^30 written out.
  std::string laughs = "]q";
  laughs += '\0';
  for (char level = 1; level <= 30; ++level) {
    laughs += "](";
    for (int i = 0; i < 10; ++i) laughs += std::string("h") + static_cast<char>(level - 1);
    laughs += std::string("eq") + level;
  }
  EXPECT_EQ(built(pickled(laughs)), "a list of 10");
  EXPECT_LT(heap_.containers.size(), 32U);
  EXPECT_EQ(built(pickled("]q\0h\0a"s)), "a list of 1") << "a list that holds itself";

  // A list of pairs that is made a dictionary of, again and again.
  std::string copies = "]q";
  copies += "\0("s;
  for (int i = 0; i < 1000; ++i) copies += "K\1K\2\x86";
  copies += "e(";
  for (int i = 0; i < 1000; ++i)
    copies += pickled_global("collections", "OrderedDict") + "h\0\x85R"s;
  EXPECT_TRUE(contains(complaint(pickled(copies + "t")), "builds more than"));
}

TEST_F(PickleMachineTest, LooksThroughNoLongSizeAgainAndAgain) {
  const std::string size = pickled_global("torch", "Size");
  EXPECT_EQ(built(pickled(size + pickled_tuple(std::vector<std::int64_t>(64, 1)) + "\x85R")),
            "a tuple of 64");
  EXPECT_TRUE(
      contains(complaint(pickled(size + pickled_tuple(std::vector<std::int64_t>(65, 1)) + "\x85R")),
               "a size with 65 dimensions, expected at most 64"));
}

TEST_F(PickleMachineTest, NestsAsDeepAsAPickleIsLong) {
  std::string tuples = "N", typed = ")";
  for (int i = 0; i < 1'000'000; ++i) tuples += '\x85';
  EXPECT_EQ(built(pickled(tuples)), "a tuple of 1");
  EXPECT_TRUE(contains(complaint(pickled(std::string(1'000'000, '('))), "a value is missing"));
  const std::string function = pickled_global("torch._tensor", "_rebuild_from_type_v2");
  for (int i = 0; i < 1000; ++i) typed = "(" + function + "N" + typed + "t";
  EXPECT_TRUE(contains(complaint(pickled(function + typed + "R")), "rebuilds"));
}

}  // namespace
}  // namespace deadray::test
