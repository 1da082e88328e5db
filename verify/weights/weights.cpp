#include "verify/weights/weights.h"

#include "host/base/stopwatch.h"
#include "verify/base/forward_mode.h"

namespace deadray {

at::Tensor Weights::load(const TensorSpec& spec, std::int64_t block, at::ScalarType dtype) const {
  at::Tensor out = empty(spec.shape, dtype);
  read(spec, block, out);
  return out;
}

std::string Weights::stem(const TensorSpec& spec, std::int64_t block) const {
  const std::string whole = name(spec.name, block);
  return whole.substr(0, whole.rfind('.'));
}

void Weights::load_now(const std::function<void()>& work) const {
  const Stopwatch watch;
  const ForwardMode::Pause plain;
  backend_->load(work);
  waited_ += watch.seconds();
}

}  // namespace deadray
