#include "host/formats/safetensors_writer.h"

#include <cstring>
#include <limits>
#include <set>
#include <stdexcept>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "host/base/in_quotes.h"

namespace deadray {
namespace {

constexpr std::size_t kAlignment = 8;

std::uint64_t bytes_of(const TensorDeclaration& tensor) {
  const auto refuse = [&](std::string_view why) {
    throw std::invalid_argument(fmt::format("tensor {}: {}", in_quotes(tensor.name), why));
  };
  if (tensor.dtype == DType::unknown) refuse("unknown dtype");
  std::int64_t elements = 1, bytes = 0;
  for (const std::int64_t extent : tensor.shape)
    if (extent < 0 || __builtin_mul_overflow(elements, extent, &elements))
      refuse("negative or overflowing shape");
  if (__builtin_mul_overflow(elements, static_cast<std::int64_t>(size_of(tensor.dtype)), &bytes))
    refuse("more than 2^63 bytes");
  return static_cast<std::uint64_t>(bytes);
}

}  // namespace

SafetensorsWriter::Plan SafetensorsWriter::plan(
    const std::filesystem::path& file, const std::vector<TensorDeclaration>& tensors,
    const std::map<std::string, std::string>& metadata) {
  Plan plan;
  std::set<std::string_view> names{"__metadata__"};
  std::string json = "{";
  const auto key = [&](const std::string& name) {
    return fmt::format("{}{}:", json.size() == 1 ? "" : ",", nlohmann::json(name).dump());
  };
  if (!metadata.empty()) json += key("__metadata__") + nlohmann::json(metadata).dump();
  for (const TensorDeclaration& tensor : tensors) {
    if (!names.insert(tensor.name).second)
      throw std::invalid_argument(fmt::format("{}: tensor {} is declared twice or reserved",
                                              file.string(), in_quotes(tensor.name)));
    const std::uint64_t begin = plan.data_bytes;
    if (__builtin_add_overflow(begin, bytes_of(tensor), &plan.data_bytes))
      throw std::invalid_argument(file.string() + ": more than 2^64 bytes");
    json +=
        key(tensor.name) + fmt::format(R"({{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                                       to_string(tensor.dtype), fmt::join(tensor.shape, ","), begin,
                                       plan.data_bytes);
  }
  json += "}";
  json.resize((json.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  const std::uint64_t length = json.size();
  plan.header.resize(sizeof(length));
  std::memcpy(plan.header.data(), &length, sizeof(length));
  plan.header += json;
  return plan;
}

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& file,
                                     const std::vector<TensorDeclaration>& tensors,
                                     const std::map<std::string, std::string>& metadata)
    : SafetensorsWriter(plan(file, tensors, metadata), file) {}

SafetensorsWriter::SafetensorsWriter(const Plan& plan, const std::filesystem::path& file)
    : file_(file, plan.header.size() + plan.data_bytes), missing_(plan.data_bytes) {
  file_.write(std::as_bytes(std::span(plan.header)));
}

void SafetensorsWriter::append(std::span<const std::byte> bytes) {
  if (bytes.size() > missing_)
    throw std::invalid_argument(fmt::format("{}: {} bytes appended, {} are left of those declared",
                                            file_.target().string(), bytes.size(), missing_));
  file_.write(bytes);
  missing_ -= bytes.size();
}

void SafetensorsWriter::finish() {
  if (missing_ > 0)
    throw std::invalid_argument(fmt::format("{}: {} declared bytes were never appended",
                                            file_.target().string(), missing_));
  file_.commit();
}

}  // namespace deadray
