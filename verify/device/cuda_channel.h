#pragma once

#include <memory>

#include "verify/device/backend.h"
#include "verify/device/cuda_device.h"

namespace deadray {

/// A channel on a device. The covariance is summed about the mean of the first rows, which keeps
/// its centring free of cancellation; the shift of the spec is for the projections, where the
/// kernel adds it to their mean alone.
/// @param device  outlives the channel
std::unique_ptr<Channel> make_cuda_channel(CudaDevice& device, const ChannelSpec& spec);

}  // namespace deadray
