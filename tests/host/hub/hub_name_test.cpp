#include "host/hub/hub_name.h"

#include <gtest/gtest.h>

namespace deadray {
namespace {

TEST(HubNameTest, TakesNamesAndRevisions) {
  const auto name = parse_hub_name("EleutherAI/pythia-160m@step1000");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->repository, "EleutherAI/pythia-160m");
  EXPECT_EQ(name->revision, "step1000");
  EXPECT_EQ(name->text(), "EleutherAI/pythia-160m@step1000");
  EXPECT_EQ(parse_hub_name("gpt2")->repository, "gpt2");
  EXPECT_EQ(parse_hub_name("org/name")->revision, "");
  EXPECT_EQ(parse_hub_name("org/Name_1.5-b")->text(), "org/Name_1.5-b");
  EXPECT_EQ(parse_hub_name("org/name@refs/pr/3")->revision, "refs/pr/3");
}

TEST(HubNameTest, TakesUrlsOfWeights) {
  for (const char* url : {"https://hub.example/a/b/resolve/main/model.safetensors",
                          "https://hub.example/m.gguf?download=true", "http://127.0.0.1:8/w.bin"}) {
    const auto name = parse_hub_name(url);
    ASSERT_TRUE(name) << url;
    EXPECT_TRUE(name->is_url());
    EXPECT_EQ(name->text(), url);
  }
  for (const char* other : {"https://hub.example/org/name", "https://hub.example/x.txt",
                            "ftp://hub.example/m.gguf", "https://h/a b.gguf"})
    EXPECT_FALSE(parse_hub_name(other)) << other;
}

TEST(HubNameTest, LeavesPathsAlone) {
  for (const char* path : {"",
                           "/org/name",
                           "./name",
                           "../name",
                           "a/b/c",
                           "org/",
                           "/",
                           "~/models",
                           "org/.hidden",
                           "folder/model.safetensors",
                           "folder/config.json",
                           "tokens.npy",
                           "model.gguf",
                           "org/na me",
                           "org/name@",
                           "org/name@../x",
                           "org/name@a..b",
                           "org/name@-x",
                           "org/name@/x",
                           "org/na:me",
                           "org--x/name",
                           "org/name\n"})
    EXPECT_FALSE(parse_hub_name(path)) << path;
}

TEST(ShownUrlTest, HasNoSecrets) {
  EXPECT_EQ(shown_url("https://me:secret@hub.example/a/m.gguf?token=1#x"),
            "https://hub.example/a/m.gguf");
  EXPECT_EQ(shown_url("https://hub.example/a@b/m.gguf"), "https://hub.example/a@b/m.gguf");
  EXPECT_EQ(shown_url("https://me@hub.example"), "https://hub.example");
}

}  // namespace
}  // namespace deadray
