#include "host/formats/lookup/name_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace deadray {
namespace {

std::vector<TensorInfo> named(std::vector<std::string> names) {
  std::sort(names.begin(), names.end());
  std::vector<TensorInfo> tensors(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) tensors[i].name = names[i];
  return tensors;
}

TEST(NameTableTest, FindsEachOfManyAndNoOther) {
  std::vector<std::string> names;
  for (int i = 0; i < 20'000; ++i) names.push_back("model.layers." + std::to_string(i) + ".norm");
  const std::vector<TensorInfo> tensors = named(names);
  const NameTable table(tensors);
  for (const TensorInfo& tensor : tensors) ASSERT_EQ(table.find(tensors, tensor.name), &tensor);
  for (const char* name : {"", "model", "model.layers.20000.norm", "model.layers.1.norm."})
    EXPECT_EQ(table.find(tensors, name), nullptr) << name;
}

TEST(NameTableTest, OfNothingFindsNothing) {
  EXPECT_EQ(NameTable().find({}, "a"), nullptr);
  EXPECT_EQ(NameTable(std::vector<TensorInfo>{}).find({}, "a"), nullptr);
}

TEST(NameTableTest, WithoutATableTheOrderOfTheNamesIsSearched) {
  const std::vector<TensorInfo> tensors = named({"a", "b", "d"});
  EXPECT_EQ(NameTable().find(tensors, "b"), &tensors[1]);
  EXPECT_EQ(NameTable().find(tensors, "c"), nullptr);
}

}  // namespace
}  // namespace deadray
