#pragma once

/// The warp, which every kernel counts on.
namespace deadray::kernels::cuda {

constexpr int kWarpSize = 32;
constexpr unsigned kAllLanes = 0xffffffffu;  // of a warp, as the mask of an exchange

}  // namespace deadray::kernels::cuda
