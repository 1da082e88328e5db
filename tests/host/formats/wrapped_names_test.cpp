#include "host/formats/wrapped_names.h"

#include <gtest/gtest.h>

namespace deadray::test {
namespace {

using Names = std::vector<std::string>;

std::vector<TensorInfo> tensors(const Names& names) {
  std::vector<TensorInfo> all(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    all[i].name = names[i];
    all[i].offset = i;  // which one it was
  }
  return all;
}
Names names(const std::vector<TensorInfo>& tensors) {
  Names all;
  for (const TensorInfo& tensor : tensors) all.push_back(tensor.name);
  return all;
}
/// @return the notes
Names take_off(Names& of) {
  Names notes;
  std::vector<TensorInfo> all = tensors(of);
  take_off_wrappers(all, notes);
  of = names(all);
  return notes;
}

TEST(WrappedNamesTest, AreTakenOffInAnyOrder) {
  for (const Names& wrapped : {Names{"_orig_mod.module.a.b", "_orig_mod.module.c"},
                               Names{"module._orig_mod.a.b", "module._orig_mod.c"},
                               Names{"base_model.model.module.a.b", "base_model.model.module.c"}}) {
    Names all = wrapped;
    EXPECT_EQ(take_off(all).size(), 1U) << wrapped[0];
    EXPECT_EQ(all, (Names{"a.b", "c"})) << wrapped[0];
  }
}

TEST(WrappedNamesTest, AreTakenOffInsideWhereNobodyElseUsesThem) {
  Names all{"h.0._orig_mod.ln.weight", "h.1._fsdp_wrapped_module.ln.weight", "my_orig_mod.x"};
  const Names notes = take_off(all);
  EXPECT_EQ(all, (Names{"h.0.ln.weight", "h.1.ln.weight", "my_orig_mod.x"}));
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_NE(notes[0].find("'_fsdp_wrapped_module.', '_orig_mod.'"), std::string::npos) << notes[0];
}

TEST(WrappedNamesTest, StayWhereOnlySomeHaveThemInFrontOrTwoWouldAgree) {
  for (Names all : {Names{"module.a", "other"}, Names{"_orig_mod.a", "a"}, Names{"model.a"}}) {
    const Names before = all;
    EXPECT_TRUE(take_off(all).empty()) << before[0];
    EXPECT_EQ(all, before);
  }
}

TEST(WrappedNamesTest, KeepTheOrderOfNamesWhenAPrefixGoes) {
  std::vector<TensorInfo> all = tensors({"lm.b", "lm.d", "vision.c"});
  EXPECT_TRUE(take_off_prefix(all, "lm."));
  EXPECT_EQ(names(all), (Names{"b", "d", "vision.c"}));
  all = tensors({"z.b", "z.d", "c"});
  EXPECT_TRUE(take_off_prefix(all, "z."));
  EXPECT_EQ(names(all), (Names{"b", "c", "d"}));
  EXPECT_EQ(all[1].offset, 2U) << "a tensor keeps what is not its name";
  all = tensors({"z.b", "b"});
  EXPECT_FALSE(take_off_prefix(all, "z."));
  EXPECT_EQ(names(all), (Names{"z.b", "b"}));
}

}  // namespace
}  // namespace deadray::test
