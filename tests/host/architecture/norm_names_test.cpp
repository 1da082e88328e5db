#include "host/architecture/norm_names.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace deadray::test {
namespace {

TEST(NormNamesTest, OrderNumbersByTheirValue) {
  const std::vector<std::string> ordered{"h",       "h.0.ln",   "h.2.ln_1", "h.2.ln_2", "h.2.ln_10",
                                         "h.10.ln", "h.100.ln", "h.x",      "i"};
  for (std::size_t i = 0; i < ordered.size(); ++i)
    for (std::size_t j = 0; j < ordered.size(); ++j)
      EXPECT_EQ(comes_before(ordered[i], ordered[j]), i < j) << ordered[i] << " " << ordered[j];
  EXPECT_NE(comes_before("h.01", "h.1"), comes_before("h.1", "h.01"))
      << "one of them must come first";
  EXPECT_TRUE(comes_before("h.00000000000000000000000000000000009", "h.10"));
}

TEST(NormNamesTest, TellNumberedPartsFromNumberedNorms) {
  for (const char* site : {"h.3.ln_1", "layer_3.norm", "norms.3", "a.2.c.norm"})
    EXPECT_TRUE(is_in_numbered_part(site)) << site;
  for (const char* site : {"ln_1", "encoder.norm2", "norm", "", "a.b.ln_f",
                           "wav2vec2.encoder.layer_norm", "phi3.model.norm"})
    EXPECT_FALSE(is_in_numbered_part(site)) << site;
}

}  // namespace
}  // namespace deadray::test
