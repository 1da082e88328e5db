#pragma once

#include <string>
#include <string_view>

#include "tests/support/safetensors_bytes.h"
#include "tests/support/temporary_folder.h"

namespace deadray::test {

/// The text of a `*.safetensors.index.json`. @param map  "tensor":"shard" pairs, as JSON has them
inline std::string index_of(std::string_view map) {
  return "{\"metadata\":{},\"weight_map\":{" + std::string(map) + "}}";
}

/// Two shards, one.safetensors with a = 1 and two.safetensors with b = 2, and their index.
inline void write_sharded(const TemporaryFolder& folder,
                          std::string_view map = R"("a":"one.safetensors","b":"two.safetensors")") {
  folder.write("one.safetensors", one_tensor("a", 1.0f));
  folder.write("two.safetensors", one_tensor("b", 2.0f));
  folder.write("model.safetensors.index.json", index_of(map));
}

}  // namespace deadray::test
