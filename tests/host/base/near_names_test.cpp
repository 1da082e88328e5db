#include "host/base/near_names.h"

#include <gtest/gtest.h>

namespace deadray {
namespace {

using Names = std::vector<std::string>;

TEST(NearNamesTest, OrdersByDistanceAndKeepsTheNearest) {
  const Names known{"verify", "models", "predicts", "predict", "bench", "predic"};
  EXPECT_EQ(near_names("predikt", known), (Names{"predict", "predicts", "predic"}));
  EXPECT_EQ(near_names("predikt", known, 1), Names{"predict"});
}

TEST(NearNamesTest, FindsANameThatDiffersByAPrefix) {
  const Names known{"transformer.h.0.ln_1.weight", "transformer.h.0.attn.c_attn.weight"};
  EXPECT_EQ(near_names("h.0.ln_1.weight", known), Names{known[0]});
  EXPECT_EQ(near_names("model.transformer.h.0.ln_1.weight", known), Names{known[0]});
}

TEST(NearNamesTest, SuggestsNothingThatIsFar) {
  EXPECT_TRUE(near_names("lm_head", Names{"wte.weight", "h.0.ln_1.bias"}).empty());
  EXPECT_TRUE(near_names("x", Names{}).empty());
  EXPECT_EQ(did_you_mean("lm_head", Names{"wte.weight"}), "");
}

TEST(NearNamesTest, AsksInOneClause) {
  EXPECT_EQ(did_you_mean("predct", Names{"predict"}), "; did you mean 'predict'?");
  EXPECT_EQ(did_you_mean("gpt", Names{"gpt1", "gpt2", "gpt3"}),
            "; did you mean 'gpt1', 'gpt2' or 'gpt3'?");
}

}  // namespace
}  // namespace deadray
