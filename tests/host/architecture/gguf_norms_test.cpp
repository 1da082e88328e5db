#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "host/architecture/gguf/gguf_model.h"
#include "host/architecture/norm_parameters.h"
#include "tests/support/errors.h"

namespace deadray {
namespace {

Checkpoint open(const std::string& architecture) {
  return Checkpoint::open(std::filesystem::path(DEADRAY_FIXTURES) / "gguf" / "models" /
                          ("norms-" + architecture + ".gguf"));
}

std::vector<std::string> names_of(const std::vector<NormSite>& sites, NormKind kind) {
  std::vector<std::string> names;
  for (const NormSite& site : sites)
    if (site.kind == kind) names.push_back(site.name);
  return names;
}

std::string final_of(const std::vector<NormSite>& sites) {
  const auto site =
      std::find_if(sites.begin(), sites.end(), [](const NormSite& s) { return s.is_final; });
  return site == sites.end() ? "" : site->name;
}

using Names = std::vector<std::string>;

TEST(GgufNormsTest, TakesTheKindFromTheKeyOfTheEpsilon) {
  const DiscoveredNorms mamba = gguf_norms(open("mamba"));
  EXPECT_EQ(names_of(mamba.sites, NormKind::rmsnorm),
            (Names{"blk.0.attn_norm", "blk.1.attn_norm", "output_norm"}));
  EXPECT_TRUE(names_of(mamba.sites, NormKind::layernorm).empty());
  EXPECT_EQ(final_of(mamba.sites), "output_norm");
  EXPECT_EQ(mamba.sites[1].block, 1);
  EXPECT_EQ(mamba.sites[1].eps, 1e-5);
  EXPECT_EQ(mamba.sites[1].hidden_size, 8);
  EXPECT_EQ(mamba.notes.size(), 1U);

  const DiscoveredNorms starcoder2 = gguf_norms(open("starcoder2"));
  EXPECT_EQ(names_of(starcoder2.sites, NormKind::layernorm).size(), 5U);
  for (const NormSite& site : starcoder2.sites) EXPECT_EQ(site.bias, site.name + ".bias");
  // Without a shift, which is no reason to take it for another kind.
  EXPECT_EQ(names_of(gguf_norms(open("mpt")).sites, NormKind::layernorm).size(), 3U);
}

TEST(GgufNormsTest, TakesTheKindFromTheShiftWhereTheKeysLeaveItOpenAndSaysSo) {
  const DiscoveredNorms t5 = gguf_norms(open("t5"));
  EXPECT_EQ(names_of(t5.sites, NormKind::rmsnorm).size(), 8U);
  EXPECT_EQ(final_of(t5.sites), "dec.output_norm");
  EXPECT_EQ(t5.sites.back().name, "dec.output_norm");
  EXPECT_TRUE(test::contains(t5.notes.at(1), "the file has both of t5.attention.layer_norm_eps"));

  const DiscoveredNorms newcomer = gguf_norms(open("newcomer"));
  EXPECT_EQ(names_of(newcomer.sites, NormKind::rmsnorm),
            (Names{"blk.0.ffn_norm", "blk.1.ffn_norm"}));
  EXPECT_EQ(names_of(newcomer.sites, NormKind::layernorm),
            (Names{"blk.0.attn_norm", "blk.1.attn_norm", "output_norm"}));
  EXPECT_TRUE(test::contains(newcomer.notes.at(1), "the file has none of"));
  EXPECT_TRUE(test::contains(newcomer.notes.at(1), "--norm"));
}

TEST(GgufNormsTest, TakesARowForEachHead) {
  const Checkpoint checkpoint = open("chameleon");
  const DiscoveredNorms found = gguf_norms(checkpoint);
  EXPECT_EQ(names_of(found.sites, NormKind::layernorm),
            (Names{"blk.0.attn_q_norm.0", "blk.0.attn_q_norm.1", "blk.1.attn_q_norm.0",
                   "blk.1.attn_q_norm.1"}));
  EXPECT_EQ(names_of(found.sites, NormKind::rmsnorm),
            (Names{"blk.0.attn_norm", "blk.1.attn_norm", "output_norm"}));
  const auto site = std::find_if(found.sites.begin(), found.sites.end(),
                                 [](const NormSite& s) { return s.name == "blk.1.attn_q_norm.1"; });
  const NormParameters norm = load_norm(checkpoint, *site);
  EXPECT_EQ(norm.gamma, checkpoint.read_fp64(checkpoint.at("blk.1.attn_q_norm.weight"), 4, 4));
  EXPECT_EQ(norm.beta, checkpoint.read_fp64(checkpoint.at("blk.1.attn_q_norm.bias"), 4, 4));
}

TEST(GgufNormsTest, FindsTheFinalNormOfAStreamThatIsANormsOutput) {
  EXPECT_EQ(final_of(gguf_norms(open("nomic-bert")).sites), "blk.1.layer_output_norm");
}

TEST(GgufNormsTest, LeavesGroupNormsOut) {
  const DiscoveredNorms found = gguf_norms(open("rwkv7"));
  EXPECT_EQ(names_of(found.sites, NormKind::layernorm),
            (Names{"blk.0.attn_norm", "blk.1.attn_norm", "output_norm"}));
  EXPECT_TRUE(test::contains(found.notes.at(1), "group norms are left out: blk.0.time_mix_ln"));
}

}  // namespace
}  // namespace deadray
