#pragma once

#include <memory>

#include "verify/device/channel.h"
#include "verify/device/cuda_device.h"

namespace deadray {

/// A channel on a device. It sums the covariance about the mean of the first rows, so that centring
/// it at the end cancels nothing. The shift of the spec serves the projections alone.
/// @param device  outlives the channel
std::unique_ptr<Channel> make_cuda_channel(CudaDevice& device, const ChannelSpec& spec);

}  // namespace deadray
