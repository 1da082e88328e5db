#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

// Safetensors files byte by byte, sound or not.
namespace deadray::test {

template <typename T>
std::string bytes_of(const T& value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

template <typename T>
std::string bytes_of(const std::vector<T>& values) {
  std::string bytes;
  for (const T& value : values) bytes += bytes_of(value);
  return bytes;
}

/// A file with this header, sound or not.
inline std::string safetensors(std::string_view json, std::string_view data = "") {
  return bytes_of(static_cast<std::uint64_t>(json.size())) + std::string(json) + std::string(data);
}

/// A sound file with one float32 tensor [1].
inline std::string one_tensor(std::string_view name, float value = 1.0f) {
  return safetensors(
      "{\"" + std::string(name) + "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
      bytes_of(value));
}

}  // namespace deadray::test
