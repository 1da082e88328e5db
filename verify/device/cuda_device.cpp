#include "verify/device/cuda_device.h"

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>

namespace deadray {

CudaDevice::CudaDevice(const kernels::CudaOperations& operations, at::Device device, int index)
    : operations_(operations),
      device_(device),
      index_(index),
      context_(operations.create_context(index)) {
  if (!device.is_cpu()) c10::impl::VirtualGuardImpl(device.type()).setDevice(device);
}

CudaDevice::~CudaDevice() {
  workspace_.reset();
  operations_.destroy_context(context_);
}

kernels::Stream CudaDevice::stream() const {
  if (device_.is_cpu()) return nullptr;
  return static_cast<kernels::Stream>(
      c10::impl::VirtualGuardImpl(device_.type()).getStream(device_).native_handle());
}

CudaMemory CudaDevice::allocate(std::size_t bytes, bool host) {
  const CudaRelease release{&operations_, host};
  try {
    return CudaMemory(operations_.allocate(bytes, host), release);
  } catch (const kernels::CudaError& error) {
    if (error.kind() != kernels::CudaError::Kind::out_of_memory || device_.is_cpu()) throw;
  }
  c10::getDeviceAllocator(device_.type())->emptyCache();  // what libtorch has freed, it keeps
  return CudaMemory(operations_.allocate(bytes, host), release);
}

void* CudaDevice::workspace(std::size_t bytes) {
  if (bytes > workspace_bytes_) {
    workspace_bytes_ = 0;
    workspace_.reset();  // first: the two need not stand side by side
    workspace_ = allocate(bytes, /*host=*/false);
    workspace_bytes_ = bytes;
  }
  return workspace_.get();
}

std::size_t CudaDevice::free_bytes() const {
  const std::size_t free = operations_.device_info(index_).free_bytes;
  if (device_.is_cpu()) return free;
  const auto stats = c10::getDeviceAllocator(device_.type())->getDeviceStats(device_.index());
  constexpr auto kAll = static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  const std::int64_t kept = stats.reserved_bytes[kAll].current - stats.active_bytes[kAll].current;
  return free + static_cast<std::size_t>(std::max<std::int64_t>(0, kept));
}

void CudaDevice::release_unused() {
  workspace_bytes_ = 0;
  workspace_.reset();
  if (!device_.is_cpu()) c10::getDeviceAllocator(device_.type())->emptyCache();
}

}  // namespace deadray
