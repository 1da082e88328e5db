#include "verify/device/channel.h"

#include <ATen/ATen.h>

namespace deadray {

at::Tensor second_moment(const RowMoments& moments) {
  return at::addr(moments.covariance, moments.mean, moments.mean);
}

}  // namespace deadray
