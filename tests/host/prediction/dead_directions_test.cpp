#include "host/prediction/dead_directions.h"

#include <gtest/gtest.h>

#include "tests/support/describe.h"
#include "tests/support/small_model.h"

namespace deadray {
namespace {

// GPT-2: of each block the fused q/k/v map and the MLP's first, with biases; the head is tied.
TEST(DeadDirectionsTest, AreCountedFromTheConfigurationAlone) {
  const auto count = [](const nlohmann::json& changes = nlohmann::json::object()) {
    nlohmann::json config = nlohmann::json::parse(test::kSmallConfig);
    config["n_layer"] = 3;
    return count_dead_directions(test::describe(config, changes));
  };
  EXPECT_EQ(count(), 3 * (3 * 8 + 4 * 8));
  EXPECT_EQ(count({{"tie_word_embeddings", false}}),
            3 * (3 * 8 + 4 * 8) + 8);  // a head without bias: beta's shift, hidden_size
}

}  // namespace
}  // namespace deadray
