#include "verify/kernel_bench/bench_device.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <string>

#include "host/base/error.h"
#include "kernels/operations/random_normal.h"
#include "verify/module/device_module.h"

namespace deadray {
namespace {

using kernels::ElementType;

constexpr std::int64_t kPeriod = 4194301;
constexpr std::size_t kBeyondCache = std::size_t{256} << 20;
constexpr std::size_t kMaxRotating = 8;

template <class T>
T narrowed(float value) {
  return static_cast<T>(value);
}
template <>
kernels::BFloat16 narrowed(float value) {
  return {static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16)};
}

template <class T>
void fill(const BenchDevice& device, const BenchBuffer& buffer, const std::vector<float>& block,
          std::size_t count) {
  std::vector<T> narrow(block.size());
  std::transform(block.begin(), block.end(), narrow.begin(), narrowed<T>);
  T* const to = buffer.as<T>();
  const kernels::CudaOperations& operations = device.operations();
  operations.copy(to, narrow.data(), narrow.size() * sizeof(T), device.stream());
  for (std::size_t done = narrow.size(); done < count; done *= 2)
    operations.copy(to + done, to, std::min(done, count - done) * sizeof(T), device.stream());
  operations.synchronize(device.stream());
}

}  // namespace

BenchDevice::BenchDevice(int index) : operations_(&operations_of_device(index)), index_(index) {
  try {
    context_ = operations_->create_context(index);
    stream_ = operations_->create_stream();
  } catch (const kernels::CudaError& error) {
    operations_->destroy_context(context_);
    throw ResourceError(error.what());
  }
}

BenchDevice::~BenchDevice() {
  operations_->destroy_stream(stream_);
  operations_->destroy_context(context_);
}

BenchBuffer::BenchBuffer(const BenchDevice& device, std::size_t bytes)
    : device_(device), bytes_(bytes), data_(device.operations().allocate(bytes, /*host=*/false)) {}

BenchBuffer::~BenchBuffer() { device_.operations().release(data_, /*host=*/false); }

std::size_t bytes_of(ElementType type) {
  return type == ElementType::float64 ? 8 : type == ElementType::float32 ? 4 : 2;
}

const char* to_string(ElementType type) {
  return type == ElementType::float64   ? "float64"
         : type == ElementType::float32 ? "float32"
                                        : "bfloat16";
}

SharedBuffer empty_buffer(const BenchDevice& device, std::size_t bytes) {
  return std::make_shared<BenchBuffer>(device, std::max<std::size_t>(bytes, 1));
}

SharedBuffer random_buffer(const BenchDevice& device, ElementType type, std::int64_t count,
                           std::string_view name, double deviation, double mean) {
  const SharedBuffer buffer =
      empty_buffer(device, static_cast<std::size_t>(count) * bytes_of(type));
  std::vector<float> block(static_cast<std::size_t>(std::min(count, kPeriod)));
  kernels::random_normal(/*seed=*/0, kernels::stream_of(name), 0,
                         static_cast<std::int64_t>(block.size()), static_cast<float>(deviation),
                         block.data());
  for (float& value : block) value += static_cast<float>(mean);
  switch (type) {
    case ElementType::float64:
      fill<double>(device, *buffer, block, static_cast<std::size_t>(count));
      break;
    case ElementType::float32:
      fill<float>(device, *buffer, block, static_cast<std::size_t>(count));
      break;
    case ElementType::bfloat16:
      fill<kernels::BFloat16>(device, *buffer, block, static_cast<std::size_t>(count));
      break;
  }
  return buffer;
}

RotatingRows::RotatingRows(const BenchDevice& device, ElementType type, std::int64_t n_tokens,
                           std::int64_t hidden_size, double deviation)
    : view_{nullptr, type, n_tokens, hidden_size, hidden_size} {
  const std::size_t bytes =
      std::max<std::size_t>(1, static_cast<std::size_t>(n_tokens * hidden_size) * bytes_of(type));
  buffers_.resize(std::clamp<std::size_t>((kBeyondCache + bytes - 1) / bytes, 1, kMaxRotating));
  for (std::size_t i = 0; i < buffers_.size(); ++i)
    buffers_[i] =
        random_buffer(device, type, n_tokens * hidden_size, fmt::format("rows.{}", i), deviation);
}

kernels::Rows RotatingRows::at(std::int64_t repetition) const {
  kernels::Rows rows = view_;
  rows.data = buffers_[static_cast<std::size_t>(repetition) % buffers_.size()]->as<void>();
  return rows;
}

RandomNorm::RandomNorm(const BenchDevice& device, std::int64_t hidden_size)
    : gamma_(random_buffer(device, ElementType::float64, hidden_size, "gamma", 0.2, 1.0)),
      beta_(random_buffer(device, ElementType::float64, hidden_size, "beta", 0.1)) {}

kernels::NormArguments RandomNorm::arguments() const {
  return {kernels::NormType::layernorm, gamma_->as<double>(), beta_->as<double>(),
          beta_->as<double>(), 1e-5};
}

}  // namespace deadray
