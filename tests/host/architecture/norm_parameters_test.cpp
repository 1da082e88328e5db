#include "host/architecture/norm_parameters.h"

#include <cmath>
#include <span>
#include <vector>

#include "host/formats/safetensors_writer.h"
#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"

namespace deadray::test {
namespace {

TEST(NormParametersTest, NamesFileAndTensorOfValuesThatTellNothing) {
  const TemporaryFolder folder;
  const auto complaint = [&](std::vector<float> gamma, std::vector<float> beta) {
    SafetensorsWriter writer(folder / "m.safetensors",
                             {{"ln_f.bias", DType::f32, {2}}, {"ln_f.weight", DType::f32, {2}}});
    for (const auto* values : {&beta, &gamma}) writer.append(std::as_bytes(std::span(*values)));
    writer.finish();
    NormSite site;
    site.hidden_size = 2;
    site.weight = "ln_f.weight";
    site.bias = "ln_f.bias";
    const Checkpoint checkpoint = Checkpoint::open(folder / "m.safetensors");
    return message_of(ExitCode::malformed, [&] { load_norm(checkpoint, site); });
  };
  const std::string file = (folder / "m.safetensors").string();
  EXPECT_EQ(
      complaint({1.0F, INFINITY}, {0.0F, 0.0F}),
      file + ": tensor 'ln_f.weight': 1 of 2 values are not finite, the first at index 1 (inf)");
  EXPECT_EQ(
      complaint({1.0F, 1.0F}, {-INFINITY, 0.0F}),
      file + ": tensor 'ln_f.bias': 1 of 2 values are not finite, the first at index 0 (-inf)");
  EXPECT_TRUE(contains(complaint({0.0F, 0.0F}, {0.0F, 0.0F}),
                       file + ": tensor 'ln_f.weight': all 2 values are zero"));
}

}  // namespace
}  // namespace deadray::test
