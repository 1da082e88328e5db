#include "host/architecture/select_sites.h"

#include <string>
#include <string_view>
#include <vector>

#include "tests/support/errors.h"

namespace deadray::test {
namespace {

std::vector<NormSite> named(const std::vector<std::string>& names) {
  std::vector<NormSite> sites;
  for (const std::string& name : names) {
    sites.emplace_back();
    sites.back().name = name;
  }
  sites.back().is_final = true;
  return sites;
}

TEST(SelectSitesTest, MatchesWholeComponentsFromTheEnd) {
  const auto sites =
      named({"model.layers.0.input_layernorm", "model.layers.10.input_layernorm", "model.norm"});
  const auto one = [&](std::string_view which) { return select_sites(sites, which).at(0).name; };
  EXPECT_EQ(select_sites(sites, "all").size(), 3u);
  EXPECT_EQ(one("final"), "model.norm");
  EXPECT_EQ(one("norm"), "model.norm") << "input_layernorm ends so too, but is another component";
  EXPECT_EQ(one("model.norm"), "model.norm");
  EXPECT_EQ(one("0.input_layernorm"), "model.layers.0.input_layernorm");
  EXPECT_TRUE(
      contains(message_of(ExitCode::usage, [&] { one("input_layernorm"); }), "2 norms end so"));
  EXPECT_TRUE(contains(message_of(ExitCode::usage, [&] { one("orm"); }), "no such norm"));
  EXPECT_TRUE(contains(message_of(ExitCode::usage, [&] { one(""); }), "no such norm"));
}

TEST(SelectSitesTest, NamesAFewOfManyNorms) {
  std::vector<std::string> names;
  for (int block = 0; block < 40; ++block)
    names.push_back("model.layers." + std::to_string(block) + ".input_layernorm");
  names.push_back("model.norm");
  std::vector<NormSite> sites = named(names);
  const auto complaint = [&](std::string_view which) {
    return message_of(ExitCode::usage, [&] { select_sites(sites, which); });
  };
  EXPECT_TRUE(contains(complaint("nothing_like_them"),
                       "no such norm; give final, all, or one of 41 names, such as model.norm"));
  EXPECT_TRUE(contains(complaint("model.layers.7.input_layernom"),
                       "such as model.layers.7.input_layernorm"));
  EXPECT_LT(complaint("input_layernorm").size(), 250U);
  sites.back().is_final = false;
  EXPECT_TRUE(contains(complaint("final"),
                       "the names do not tell which is its last; give all, or --site NAME with one "
                       "of 41 names, such as "
                       "model.norm"));
}

}  // namespace
}  // namespace deadray::test
