#include "host/hub/choose_revisions.h"

#include "tests/support/errors.h"

namespace deadray::test {
namespace {

using Names = std::vector<std::string>;

Names choose(const Names& list, const Names& all = {}) {
  return choose_revisions(list, [&] { return all; });
}

TEST(ChooseRevisionsTest, KeepsNamesInTheirOrderAndOnce) {
  bool asked = false;
  EXPECT_EQ(choose_revisions({"step2", "main", "step2"}, [&] { return asked = true, Names(); }),
            (Names{"step2", "main"}));
  EXPECT_FALSE(asked);
}

TEST(ChooseRevisionsTest, MatchesPatterns) {
  const Names all{"main", "step1", "step10", "step2", "v1"};
  EXPECT_EQ(choose({"step*"}, all), (Names{"step1", "step10", "step2"}));
  EXPECT_EQ(choose({"step2", "step?", "v[0-9]"}, all), (Names{"step2", "step1", "v1"}));
  EXPECT_EQ(choose({"m*"}, {"main", "m..x", "-m"}), (Names{"main"}));
}

TEST(ChooseRevisionsTest, NamesWhatIsThereWhereNoneMatches) {
  const std::string message =
      message_of(ExitCode::usage, [] { choose({"stp*"}, {"main", "step1", "step2"}); });
  EXPECT_TRUE(contains(message, "no branch or tag is called"));
  EXPECT_TRUE(contains(message, "stp*"));
  EXPECT_TRUE(contains(message, "there are main, step1, step2"));
  EXPECT_TRUE(contains(message_of(ExitCode::usage, [] { choose({"a b"}); }),
                       "is no name of a branch, tag or commit"));
}

}  // namespace
}  // namespace deadray::test
