#include "host/architecture/fit/fit_to_checkpoint.h"

#include <gtest/gtest.h>

#include "host/architecture/config.h"
#include "tests/support/errors.h"
#include "tests/support/small_model.h"
#include "tests/support/temporary_folder.h"

namespace deadray::test {
namespace {

constexpr std::int64_t kWidth = kSmallWidth;

/// A small GPT-2 with all its tensors, changed by the test.
class FitToCheckpointTest : public ::testing::Test {
 protected:
  struct Fitted {
    Architecture architecture;
    std::vector<NormSite> sites;
    std::string notes;  // all of them
  };
  Fitted fit(const SmallTensors& tensors, const std::string& config = kSmallConfig,
             bool strict = false) const {
    write_tensors(folder_ / "m.safetensors", tensors);
    Checkpoint checkpoint = Checkpoint::open(folder_ / "m.safetensors");
    Fitted fitted{describe_architecture(Config::parse(config, "config.json")), {}, {}};
    fitted.sites = fit_to_checkpoint(fitted.architecture, checkpoint, strict);
    for (const std::string& note : fitted.architecture.notes) fitted.notes += note + "\n";
    return fitted;
  }
  static SmallTensors whole_gpt2() {
    SmallTensors tensors = small_gpt2();
    const auto map = [&](const std::string& name, std::int64_t inputs, std::int64_t outputs) {
      tensors[name + ".weight"] = random_tensor({inputs, outputs}, 1);
      tensors[name + ".bias"] = random_tensor({outputs}, 2);
    };
    tensors["wpe.weight"] = random_tensor({16, kWidth}, 3);
    map("h.0.attn.c_attn", kWidth, 3 * kWidth), map("h.0.attn.c_proj", kWidth, kWidth);
    map("h.0.mlp.c_fc", kWidth, 4 * kWidth), map("h.0.mlp.c_proj", 4 * kWidth, kWidth);
    return tensors;
  }
  static SmallTensors without(SmallTensors tensors, std::string_view ending) {
    std::erase_if(tensors, [&](const auto& entry) { return entry.first.ends_with(ending); });
    return tensors;
  }
  static SmallTensors renamed(const SmallTensors& tensors, const std::string& prefix) {
    SmallTensors all;
    for (const auto& [name, tensor] : tensors) all[prefix + name] = tensor;
    return all;
  }

  TemporaryFolder folder_;
};

TEST_F(FitToCheckpointTest, ChangesAndTellsNothingOfAWholeModel) {
  const Fitted fitted = fit(whole_gpt2());
  EXPECT_EQ(fitted.notes, "");
  EXPECT_EQ(fitted.sites.size(), 3U);
  EXPECT_EQ(fit(small_gpt2()).notes, "") << "a file of norms alone says nothing of the maps";
}

TEST_F(FitToCheckpointTest, TakesOffAPrefixThatOnlyTheFamilysNamesTell) {
  SmallTensors tensors = renamed(whole_gpt2(), "policy.net.transformer.");
  tensors["value_head.weight"] = random_tensor({1, kWidth}, 1);
  const Fitted fitted = fit(tensors);
  EXPECT_EQ(fitted.sites[0].name, "transformer.h.0.ln_1");
  EXPECT_TRUE(contains(fitted.notes, "prefix 'policy.net.'"));
  EXPECT_TRUE(contains(fitted.notes,
                       "one tensor is left out, of which config.json says nothing: "
                       "value_head.weight"));
}

TEST_F(FitToCheckpointTest, DropsShiftsOnlyWhereNoLayerNormStoresOne) {
  SmallTensors tensors = whole_gpt2();
  for (const char* norm : {"h.0.ln_1", "h.0.ln_2", "ln_f"})
    tensors.erase(std::string(norm) + ".bias");
  const Fitted fitted = fit(tensors);
  EXPECT_TRUE(contains(fitted.notes, "none of the 3 LayerNorms stores a shift"));
  for (const NormSite& site : fitted.sites) EXPECT_EQ(site.bias, "") << site.name;
  tensors = whole_gpt2();
  tensors.erase("ln_f.bias");
  EXPECT_TRUE(
      contains(message_of(ExitCode::malformed, [&] { fit(tensors); }), "no tensor 'ln_f.bias'"));
}

TEST_F(FitToCheckpointTest, DropsMapBiasesOnlyWhereNoneStoresOne) {
  SmallTensors tensors = without(whole_gpt2(), "c_attn.bias");
  EXPECT_EQ(fit(tensors).architecture.block_kinds[0].attention.qkv.biases.size(), 1U)
      << "one missing among many is for the loader to refuse";
  for (const char* ending : {"c_proj.bias", "c_fc.bias"}) tensors = without(tensors, ending);
  const Fitted fitted = fit(tensors);
  EXPECT_TRUE(fitted.architecture.block_kinds[0].attention.qkv.biases.empty());
  EXPECT_TRUE(fitted.architecture.block_kinds[0].mlp.out.biases.empty());
  EXPECT_TRUE(contains(fitted.notes, "none of the linear maps stores a bias"));
  EXPECT_FALSE(fitted.sites[0].consumers[0].has_bias);
}

const std::string kSmallLlama = R"({"model_type": "llama", "hidden_size": 8, "intermediate_size": 8,
    "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 11,
    "architectures": ["LlamaForCausalLM"], "tie_word_embeddings": true})";

SmallTensors small_llama() {
  SmallTensors tensors;
  tensors["model.embed_tokens.weight"] = random_tensor({11, kWidth}, 1);
  tensors["model.norm.weight"] = random_tensor({kWidth}, 2, 1.0F);
  for (const std::string block : {"0", "1"}) {
    const std::string layer = "model.layers." + block + ".";
    for (const std::string norm : {"input_layernorm", "post_attention_layernorm"})
      tensors[layer + norm + ".weight"] = random_tensor({kWidth}, 3, 1.0F);
    for (const std::string map :
         {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
          "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"})
      tensors[layer + map + ".weight"] = random_tensor({kWidth, kWidth}, 4);
  }
  return tensors;
}

TEST_F(FitToCheckpointTest, UsesBiasesThatNobodyAskedForWhereEveryPartHasOne) {
  SmallTensors tensors = small_llama();
  EXPECT_EQ(fit(tensors, kSmallLlama).notes, "");
  for (const std::string part : {"q", "k", "v"})
    for (const std::string block : {"0", "1"})
      tensors["model.layers." + block + ".self_attn." + part + "_proj.bias"] =
          random_tensor({kWidth}, 5);
  const Fitted all = fit(tensors, kSmallLlama, /*strict=*/true);
  EXPECT_EQ(all.architecture.block_kinds[0].attention.qkv.biases.size(), 3U);
  EXPECT_TRUE(contains(all.notes,
                       "config.json does not mention are used: "
                       "layers.#.self_attn.q_proj.bias"));
  EXPECT_TRUE(all.sites[0].consumers[0].has_bias);

  tensors.erase("model.layers.1.self_attn.v_proj.bias");
  const Fitted some = fit(tensors, kSmallLlama);
  EXPECT_TRUE(some.architecture.block_kinds[0].attention.qkv.biases.empty());
  EXPECT_TRUE(contains(some.notes, "5 tensors are left out"));
  EXPECT_TRUE(contains(some.notes, "model.layers.#.self_attn.q_proj.bias (2)"));
}

TEST_F(FitToCheckpointTest, ReadsATiedPairFromTheHeadAlone) {
  SmallTensors tensors = small_llama();
  tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"];
  EXPECT_EQ(fit(tensors, kSmallLlama).notes, "") << "a copy is no news";
  tensors.erase("model.embed_tokens.weight");
  const Fitted fitted = fit(tensors, kSmallLlama, /*strict=*/true);
  EXPECT_EQ(fitted.architecture.tokens->table.name, "/lm_head.weight");
  EXPECT_TRUE(contains(fitted.notes, "only the second is stored"));
}

TEST_F(FitToCheckpointTest, TellsACopyOfATiedTableThatIsNone) {
  SmallTensors tensors = small_llama();
  tensors["lm_head.weight"] = random_tensor({11, kWidth}, 77);
  EXPECT_TRUE(contains(fit(tensors, kSmallLlama).notes, "differs from it: not read"));
}

TEST_F(FitToCheckpointTest, RefusesAFileWithoutTensors) {
  EXPECT_TRUE(contains(message_of(ExitCode::malformed, [&] { fit({}); }), "no tensors"));
}

TEST_F(FitToCheckpointTest, RefusesAnAdapterThatWasNotMerged) {
  SmallTensors tensors = small_llama();
  tensors["model.layers.0.self_attn.q_proj.lora_A.default.weight"] = random_tensor({2, kWidth}, 1);
  EXPECT_TRUE(contains(message_of(ExitCode::unsupported, [&] { fit(tensors, kSmallLlama); }),
                       "merge it first"));
}

TEST_F(FitToCheckpointTest, TellsScalesThatLookShiftedAlready) {
  const std::string gemma = R"({"model_type": "gemma", "hidden_size": 8, "intermediate_size": 8,
    "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 4,
    "vocab_size": 11, "architectures": ["GemmaForCausalLM"]})";
  SmallTensors tensors = small_llama();
  EXPECT_TRUE(contains(fit(tensors, gemma).notes, "already shifted?"));
  for (auto& [name, tensor] : tensors)
    if (tensor.shape.size() == 1)
      for (float& value : tensor.values) value -= 1.0F;
  EXPECT_EQ(fit(tensors, gemma).notes, "");
}

TEST_F(FitToCheckpointTest, TellsAHeadForATaskAndTakesItAlsoWhereItIsStrict) {
  SmallTensors tensors = whole_gpt2();
  tensors["score.weight"] = random_tensor({2, kWidth}, 1);
  EXPECT_TRUE(contains(fit(tensors, kSmallConfig, /*strict=*/true).notes,
                       "a head for a task is left out: score.weight"));
}

TEST_F(FitToCheckpointTest, RefusesWhatNothingReadsWhereItIsStrict) {
  SmallTensors tensors = whole_gpt2();
  for (const char* buffer : {"h.0.attn.masked_bias", "h.0.attn.rotary_emb.inv_freq"})
    tensors[buffer] = random_tensor({4}, 1);
  tensors["h.0.attn.bias"] = random_tensor({1, 1, 16, 16}, 1);
  EXPECT_EQ(fit(tensors, kSmallConfig, /*strict=*/true).notes, "") << "buffers are no weights";
  tensors["h.1.ln_1.weight"] = tensors["h.2.ln_1.weight"] = random_tensor({kWidth}, 1, 1.0F);
  const std::string message =
      message_of(ExitCode::malformed, [&] { fit(tensors, kSmallConfig, /*strict=*/true); });
  EXPECT_TRUE(contains(message,
                       "2 tensors are left out, of which config.json says nothing: "
                       "h.#.ln_1.weight (2); the weights have more blocks"));
}

}  // namespace
}  // namespace deadray::test
