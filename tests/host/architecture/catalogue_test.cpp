#include "host/architecture/catalogue.h"

#include <algorithm>
#include <span>

#include "host/architecture/norm_parameters.h"
#include "host/architecture/select_sites.h"
#include "host/formats/safetensors_writer.h"
#include "tests/support/errors.h"
#include "tests/support/safetensors_bytes.h"
#include "tests/support/temporary_folder.h"

namespace deadray::test {
namespace {

/// A fixture's architecture, checkpoint and sites.
struct Fixture {
  explicit Fixture(const std::string& name)
      : folder(fs::path(DEADRAY_FIXTURES) / "models" / name),
        architecture(describe_architecture(Config::load(folder))),
        checkpoint(Checkpoint::open(folder)),
        sites(norm_sites(architecture, &checkpoint)) {}

  std::vector<std::string> consumers(const std::string& site) const {
    const std::vector<NormSite> chosen = select_sites(sites, site);
    std::vector<std::string> names;
    for (const Consumer& consumer : chosen.front().consumers) names.push_back(consumer.name);
    return names;
  }

  fs::path folder;
  Architecture architecture;
  Checkpoint checkpoint;
  std::vector<NormSite> sites;
};

using Names = std::vector<std::string>;

TEST(CatalogueTest, FindsThePrefixOfEachCheckpoint) {
  EXPECT_EQ(Fixture("gpt2-tied").sites.back().name, "transformer.ln_f");
  EXPECT_EQ(Fixture("gpt2-no-prefix").sites.back().name, "ln_f");
  EXPECT_EQ(Fixture("llama-mha").sites.back().name, "model.norm");
  EXPECT_EQ(Fixture("llama-headless").sites.back().name, "norm");
  EXPECT_EQ(Fixture("gemma4-pictures-causal").sites.back().name, "language_model.norm");
  EXPECT_EQ(Fixture("bert-no-pooler").sites.front().name, "bert.embeddings.LayerNorm");
}

TEST(CatalogueTest, ReadsNormsUnderTheirOldNames) {
  const Fixture old("bert-gamma-beta");
  const NormSite& site = old.sites.front();
  EXPECT_TRUE(site.weight.ends_with("LayerNorm.gamma")) << site.weight;
  EXPECT_TRUE(site.bias.ends_with("LayerNorm.beta")) << site.bias;
  const NormParameters norm = load_norm(old.checkpoint, site);
  EXPECT_EQ(norm.gamma, old.checkpoint.read_fp64(old.checkpoint.at(site.weight)));
  EXPECT_EQ(norm.beta, old.checkpoint.read_fp64(old.checkpoint.at(site.bias)));
}

TEST(CatalogueTest, ListsWhatReadsAPreLayerNorm) {
  const Fixture gpt2("gpt2-untied");
  EXPECT_EQ(gpt2.consumers("h.0.ln_1"), Names{"transformer.h.0.attn.c_attn"});
  EXPECT_EQ(gpt2.consumers("h.1.ln_2"), Names{"transformer.h.1.mlp.c_fc"});
  EXPECT_EQ(gpt2.consumers("final"), Names{"lm_head"});
  EXPECT_FALSE(gpt2.sites.back().consumers.front().tied);
  EXPECT_TRUE(Fixture("gpt2-tied").sites.back().consumers.front().tied);
  for (const NormSite& site : gpt2.sites) EXPECT_FALSE(site.feeds_residual) << site.name;
}

TEST(CatalogueTest, ListsWhatReadsAPostLayerNorm) {
  const Fixture bert("bert-pooler");
  const std::string self = ".attention.self.";
  const auto qkv = [&](const std::string& block) {
    return Names{"encoder.layer." + block + self + "query", "encoder.layer." + block + self + "key",
                 "encoder.layer." + block + self + "value"};
  };
  EXPECT_EQ(bert.consumers("embeddings.LayerNorm"), qkv("0"));
  EXPECT_EQ(bert.consumers("layer.0.attention.output.LayerNorm"),
            Names{"encoder.layer.0.intermediate.dense"});
  EXPECT_EQ(bert.consumers("layer.0.output.LayerNorm"), qkv("1"));
  EXPECT_EQ(bert.consumers("final"), Names{"pooler.dense"});
  for (const NormSite& site : bert.sites) EXPECT_TRUE(site.feeds_residual) << site.name;
  EXPECT_TRUE(Fixture("bert-no-pooler").consumers("final").empty());
}

TEST(CatalogueTest, PutsTheNormOfAHeadBehindTheFinalNorm) {
  const Fixture bert("bert-masked-lm");
  EXPECT_EQ(bert.consumers("final"), Names{"cls.predictions.transform.dense"});
  const NormSite& transform = bert.sites.back();
  EXPECT_EQ(transform.name, "cls.predictions.transform.LayerNorm");
  EXPECT_FALSE(transform.is_final);
  EXPECT_EQ(bert.consumers(transform.name), Names{"cls.predictions.decoder"});
  EXPECT_EQ(std::count_if(bert.sites.begin(), bert.sites.end(),
                          [](const NormSite& site) { return site.is_final; }),
            1);
}

TEST(CatalogueTest, FindsModelsThatReadPixelsUnderEveryPrefix) {
  EXPECT_EQ(Fixture("dinov2-swiglu").sites.back().name, "layernorm");
  EXPECT_EQ(Fixture("dinov2-mlp").sites.back().name, "dinov2.layernorm");
  EXPECT_EQ(Fixture("vit-pooler").sites.back().name, "layernorm");
  EXPECT_EQ(Fixture("vit-classifier").sites.back().name, "vit.layernorm");
  EXPECT_EQ(Fixture("clip-vision").sites.front().name, "pre_layrnorm");
  EXPECT_EQ(Fixture("clip-vision-projection").sites.back().name, "vision_model.post_layernorm");
}

TEST(CatalogueTest, ListsWhatReadsTheNormsOfModelsThatReadPixels) {
  const Fixture dinov2("dinov2-swiglu");
  EXPECT_EQ(dinov2.sites.size(), 7u);
  EXPECT_EQ(dinov2.consumers("layer.1.norm2"), Names{"encoder.layer.1.mlp.weights_in"});
  EXPECT_TRUE(dinov2.consumers("final").empty());
  EXPECT_EQ(Fixture("vit-pooler").consumers("final"), Names{"pooler.dense"});
  EXPECT_TRUE(Fixture("vit-no-pooler").consumers("final").empty());
  EXPECT_EQ(Fixture("vit-classifier").consumers("final"), Names{"classifier"});
  const Fixture clip("clip-vision-projection");
  EXPECT_TRUE(clip.sites.front().feeds_residual);
  EXPECT_EQ(clip.consumers("final"), Names{"visual_projection"});
}

TEST(CatalogueTest, PutsThePredictorBehindTheEncoder) {
  const Fixture vjepa2("vjepa2-clips");
  const NormSite final_site = select_sites(vjepa2.sites, "final").at(0);
  EXPECT_EQ(final_site.name, "encoder.layernorm");
  EXPECT_EQ(vjepa2.consumers("final"), Names{"predictor.embeddings.predictor_embeddings"});
  EXPECT_EQ(vjepa2.sites.back().name, "predictor.layernorm");
  EXPECT_EQ(vjepa2.consumers("predictor.layernorm"), Names{"predictor.proj"});
  EXPECT_EQ(vjepa2.sites.size(), 2u * 2 + 1 + 2u * 2 + 1);
  EXPECT_FALSE(vjepa2.sites.back().is_final);
}

TEST(CatalogueTest, NamesConsumersAsTheCheckpointHasThem) {
  const Fixture dinov2("dinov2-new-names");
  EXPECT_EQ(dinov2.consumers("layer.0.norm2"),
            (Names{"encoder.layer.0.mlp.gate_proj", "encoder.layer.0.mlp.up_proj"}));
  EXPECT_EQ(dinov2.consumers("layer.1.norm1"),
            (Names{"encoder.layer.1.attention.q_proj", "encoder.layer.1.attention.k_proj",
                   "encoder.layer.1.attention.v_proj"}));
  const Fixture vit("vit-new-names");
  EXPECT_EQ(vit.consumers("0.layernorm_after"), Names{"vit.layers.0.mlp.fc1"});
  for (const Fixture* fixture : {&dinov2, &vit})
    for (const NormSite& site : fixture->sites)
      for (const Consumer& consumer : site.consumers)
        EXPECT_NE(fixture->checkpoint.find(consumer.name + ".weight"), nullptr) << consumer.name;
}

TEST(CatalogueTest, CountsOnlyConsumersThatTheCheckpointHolds) {
  const Fixture headless("llama-headless");
  EXPECT_TRUE(headless.consumers("final").empty());
  const Fixture llama("llama-gqa-tied");
  const NormSite first = llama.sites.front();
  ASSERT_EQ(first.consumers.size(), 3u);
  EXPECT_GT(first.consumers[0].width, first.consumers[1].width)
      << "grouped queries: fewer keys than queries";
  EXPECT_EQ(first.consumers[1].width, first.consumers[2].width);
}

TEST(CatalogueTest, ListsTheRouterAndEveryExpert) {
  const Fixture moe("qwen3-moe");
  const std::string mlp = "model.layers.1.mlp.";
  Names want{mlp + "gate"};
  for (int e = 0; e < 7; ++e)
    for (const char* part : {".gate_proj", ".up_proj"})
      want.push_back(mlp + "experts." + std::to_string(e) + part);
  EXPECT_EQ(moe.consumers("1.post_attention_layernorm"), want);
  // Blocks of another kind, and experts that the checkpoint keeps in one tensor.
  const Fixture mixed("qwen3-moe-fused");
  EXPECT_EQ(mixed.consumers("0.post_attention_layernorm"),
            (Names{"model.layers.0.mlp.gate_proj", "model.layers.0.mlp.up_proj"}));
  EXPECT_EQ(mixed.consumers("2.post_attention_layernorm").size(), 1u + 2 * 5);
  EXPECT_EQ(Fixture("mixtral").consumers("0.post_attention_layernorm").front(),
            "model.layers.0.block_sparse_moe.gate");
  EXPECT_EQ(Fixture("mixtral-fused").consumers("0.post_attention_layernorm").front(),
            "model.layers.0.mlp.gate");
}

TEST(CatalogueTest, TellsNormsOverHeadsFromThoseOfTheStream) {
  const Fixture qwen3("qwen3-gqa");
  const std::string self = "model.layers.0.self_attn.";
  EXPECT_EQ(qwen3.consumers("0.input_layernorm"),
            (Names{self + "q_proj", self + "k_proj", self + "v_proj"}));
  for (const char* name : {"0.self_attn.q_norm", "1.self_attn.k_norm"}) {
    const NormSite site = select_sites(qwen3.sites, name).front();
    EXPECT_TRUE(site.consumers.empty()) << name << " feeds the product of queries and keys";
    EXPECT_FALSE(site.feeds_residual) << name;
    EXPECT_EQ(site.hidden_size, 10) << name;
  }
}

TEST(CatalogueTest, TakesTheNormsOfASandwichForWhatTheyAre) {
  const Fixture gemma("gemma2");
  ASSERT_EQ(gemma.sites.size(), 3u * 4 + 1);
  const std::string block = "model.layers.2.";
  EXPECT_EQ(gemma.consumers("2.pre_feedforward_layernorm"),
            (Names{block + "mlp.gate_proj", block + "mlp.up_proj"}));
  for (const char* name : {"2.post_attention_layernorm", "2.post_feedforward_layernorm"}) {
    const NormSite site = select_sites(gemma.sites, name).front();
    EXPECT_TRUE(site.consumers.empty()) << name << " writes to the stream";
    EXPECT_TRUE(site.feeds_residual) << name;
  }
  for (const NormSite& site : gemma.sites) {
    EXPECT_EQ(site.weight_offset, 1.0) << site.name;
    const std::vector<double> stored = gemma.checkpoint.read_fp64(gemma.checkpoint.at(site.weight));
    EXPECT_EQ(load_norm(gemma.checkpoint, site).gamma[0], 1.0 + stored[0]) << site.name;
  }
}

TEST(CatalogueTest, FindsTheTextPartBesideAVisionTower) {
  EXPECT_EQ(Fixture("gemma3").sites.back().name, "language_model.model.norm");
  EXPECT_TRUE(Fixture("gemma3").sites.back().consumers.front().tied);
  const Fixture untied("gemma3-untied");
  EXPECT_EQ(untied.sites.back().name, "model.language_model.norm");
  EXPECT_EQ(untied.consumers("final"), Names{"lm_head"});
  EXPECT_EQ(untied.architecture.notes.size(), 1u)
      << "a note must tell of the norms that are not listed";
}

TEST(CatalogueTest, ListsATowersNormsBeforeThoseOfTheText) {
  const Fixture gemma("gemma4-pictures");
  const auto at = [&](const std::string& ending) {
    return select_sites(gemma.sites, ending).front();
  };
  EXPECT_EQ(gemma.sites.front().name, "model.vision_tower.encoder.layers.0.input_layernorm");
  EXPECT_EQ(gemma.sites.back().name, "model.language_model.norm");
  EXPECT_TRUE(gemma.sites.back().is_final);
  EXPECT_EQ(gemma.sites.size(), 2u * 7 + 1 + 2 * 7 + 1);
  const std::string tower = "model.vision_tower.encoder.layers.1.";
  EXPECT_EQ(gemma.consumers(tower + "input_layernorm"),
            (Names{tower + "self_attn.q_proj.linear", tower + "self_attn.k_proj.linear",
                   tower + "self_attn.v_proj.linear"}));
  EXPECT_EQ(gemma.consumers(tower + "pre_feedforward_layernorm"),
            (Names{tower + "mlp.gate_proj.linear", tower + "mlp.up_proj.linear"}));
  EXPECT_EQ(gemma.consumers("embedding_pre_projection_norm"),
            Names{"model.embed_vision.embedding_projection"});
  EXPECT_TRUE(at("embedding_pre_projection_norm").weight.empty()) << "it stores no scale";
  EXPECT_TRUE(at(tower + "post_attention_layernorm").feeds_residual);
  const std::string full = "model.language_model.layers.1.self_attn.";
  EXPECT_EQ(gemma.consumers("language_model.layers.1.input_layernorm"),
            (Names{full + "q_proj", full + "k_proj"}))
      << "keys serve as values";
  EXPECT_EQ(at(full + "q_norm").hidden_size, 12);
  EXPECT_TRUE(at(full + "v_norm").weight.empty());
}

TEST(CatalogueTest, NamesATensorThatIsMissingOrOfAnotherShape) {
  const TemporaryFolder folder;
  const Architecture architecture = Fixture("llama-mha").architecture;
  const auto complaint = [&](const std::string& header, std::size_t bytes) {
    const Checkpoint checkpoint = Checkpoint::open(
        folder.write("m.safetensors", safetensors(header, std::string(bytes, '\0'))));
    return message_of(ExitCode::malformed, [&] { norm_sites(architecture, &checkpoint); });
  };
  EXPECT_TRUE(
      contains(complaint(R"({"other":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4),
               "under any prefix of llama"));
  const char* short_norm = R"({"model.layers.0.input_layernorm.weight":
      {"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  EXPECT_TRUE(contains(complaint(short_norm, 4), "has shape [1]"));
}

// A shift or scale that the configuration does not give the norm would change what is predicted:
// the constant, or the direction itself.
TEST(CatalogueTest, RefusesWhatTheConfigurationsNormHasNot) {
  const auto complaint = [](const std::string& fixture, const std::string& tensor) {
    const Fixture sound(fixture);
    const TemporaryFolder folder;
    std::vector<TensorDeclaration> declarations{{tensor, DType::f32, {3}}};
    for (const NormSite& site : sound.sites)
      if (!site.weight.empty())
        declarations.push_back({site.weight, DType::f32, sound.checkpoint.at(site.weight).shape});
    if (declarations.size() == 1)
      declarations.push_back({"model.embed_tokens.weight", DType::f32, {1}});
    SafetensorsWriter writer(folder / "m.safetensors", declarations);
    for (const TensorDeclaration& declared : declarations) {
      std::int64_t count = 1;
      for (const std::int64_t extent : declared.shape) count *= extent;
      writer.append(std::vector<std::byte>(static_cast<std::size_t>(count) * 4));
    }
    writer.finish();
    const Checkpoint checkpoint = Checkpoint::open(folder / "m.safetensors");
    return message_of(ExitCode::malformed, [&] { norm_sites(sound.architecture, &checkpoint); });
  };
  const std::string shift = complaint("cohere-plain", "model.norm.bias");
  EXPECT_TRUE(contains(shift, "m.safetensors: tensor 'model.norm.bias': expected none"));
  EXPECT_TRUE(contains(shift, "this norm of cohere has no shift"));
  EXPECT_TRUE(contains(complaint("llama-mha", "model.layers.1.input_layernorm.bias"),
                       "'model.layers.1.input_layernorm.bias'"));
  EXPECT_TRUE(
      contains(complaint("olmo-plain", "model.norm.weight"), "this norm of olmo has no scale"));
}

}  // namespace
}  // namespace deadray::test
