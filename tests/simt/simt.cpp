#include "tests/simt/simt.h"

#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace deadray::simt {
namespace {

constexpr std::size_t kStackBytes = 128 << 10;
constexpr int kWarp = 32;

enum class State { ready, at_barrier, in_exchange, done };

struct Fiber {
  ucontext_t context;
  State state = State::ready;
  uint3 index{};
  unsigned mask = 0;  // of the exchange it waits in
  int exchanges = 0;  // how many it has been in: which of the two slots is in use
};

/// What the lanes of a warp gave in their last two exchanges: one may be an exchange ahead of
/// another, never two.
struct Warp {
  unsigned char slot[2][kWarp][16];
};

class Block {
 public:
  Block(dim3 threads, std::size_t shared_bytes, const std::function<void()>& body)
      : body_(body),
        fibers_(std::size_t{threads.x} * threads.y * threads.z),
        warps_((fibers_.size() + kWarp - 1) / kWarp),
        shared_(shared_bytes),
        order_(fibers_.size()),
        stacks_(new unsigned char[fibers_.size() * kStackBytes]) {
    for (std::size_t i = 0; i < fibers_.size(); ++i) {
      const auto n = static_cast<unsigned>(i);
      fibers_[i].index = {n % threads.x, n / threads.x % threads.y, n / (threads.x * threads.y)};
    }
    std::iota(order_.begin(), order_.end(), 0);
  }

  void run();
  void wait(State state);
  void exchange(unsigned mask, const void* own, void* out, std::size_t bytes, int lane);
  void* shared() { return shared_.data(); }
  int lane() const { return static_cast<int>(current_ % kWarp); }

 private:
  static void enter();
  void start(std::size_t i);
  void resume(std::size_t i);
  void release_warp(std::size_t warp);
  [[noreturn]] void stuck() const;

  const std::function<void()>& body_;
  std::vector<Fiber> fibers_;
  std::vector<Warp> warps_;
  std::vector<unsigned char> shared_;
  std::vector<std::size_t> order_;
  std::unique_ptr<unsigned char[]> stacks_;
  ucontext_t scheduler_{};
  std::size_t current_ = 0;
#if defined(__SANITIZE_ADDRESS__)
  const void* scheduler_stack_ = nullptr;
  std::size_t scheduler_stack_bytes_ = 0;
  void* scheduler_fake_ = nullptr;
#endif
};

thread_local Block* running = nullptr;
thread_local std::mt19937 shuffler;  // NOLINT(cert-msc51-cpp): the same orders every time

void Block::enter() {
  Block& block = *running;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &block.scheduler_stack_, &block.scheduler_stack_bytes_);
#endif
  block.body_();
  block.fibers_[block.current_].state = State::done;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(nullptr, block.scheduler_stack_, block.scheduler_stack_bytes_);
#endif
}

void Block::start(std::size_t i) {
  Fiber& fiber = fibers_[i];
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = stacks_.get() + i * kStackBytes;
  fiber.context.uc_stack.ss_size = kStackBytes;
  fiber.context.uc_link = &scheduler_;
  makecontext(&fiber.context, &Block::enter, 0);
}

void Block::resume(std::size_t i) {
  current_ = i;
  threadIdx = fibers_[i].index;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&scheduler_fake_, stacks_.get() + i * kStackBytes, kStackBytes);
#endif
  swapcontext(&scheduler_, &fibers_[i].context);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(scheduler_fake_, nullptr, nullptr);
#endif
}

void Block::wait(State state) {
  Fiber& fiber = fibers_[current_];
  fiber.state = state;
#if defined(__SANITIZE_ADDRESS__)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, scheduler_stack_, scheduler_stack_bytes_);
#endif
  swapcontext(&fiber.context, &scheduler_);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, &scheduler_stack_, &scheduler_stack_bytes_);
#endif
}

void Block::exchange(unsigned mask, const void* own, void* out, std::size_t bytes, int lane) {
  Fiber& fiber = fibers_[current_];
  Warp& warp = warps_[current_ / kWarp];
  auto& slot = warp.slot[fiber.exchanges++ % 2];
  std::memcpy(slot[this->lane()], own, bytes);
  fiber.mask = mask;
  wait(State::in_exchange);
  std::memcpy(out, slot[(mask >> lane & 1u) != 0 ? lane : this->lane()], bytes);
}

/// Lets go the lanes of a warp whose whole mask has arrived.
void Block::release_warp(std::size_t warp) {
  const std::size_t first = warp * kWarp, last = std::min(first + kWarp, fibers_.size());
  unsigned waiting = 0;
  for (std::size_t i = first; i < last; ++i)
    waiting |= unsigned{fibers_[i].state == State::in_exchange} << (i - first);
  for (std::size_t i = first; i < last; ++i) {
    Fiber& fiber = fibers_[i];
    if (fiber.state == State::in_exchange && (fiber.mask & waiting) == fiber.mask)
      fiber.state = State::ready;
  }
}

void Block::stuck() const {
  int counts[4] = {};
  for (const Fiber& fiber : fibers_) ++counts[static_cast<int>(fiber.state)];
  std::fprintf(stderr,
               "simt: block (%u, %u, %u) cannot go on: %d threads at a barrier, %d in an exchange "
               "of a warp, %d done\n",
               blockIdx.x, blockIdx.y, blockIdx.z, counts[1], counts[2], counts[3]);
  std::abort();
}

void Block::run() {
  running = this;
  for (Fiber& fiber : fibers_) fiber.state = State::ready, fiber.exchanges = 0;
  std::fill(shared_.begin(), shared_.end(), 0xff);
  for (std::size_t i = 0; i < fibers_.size(); ++i) start(i);
  for (;;) {
    std::shuffle(order_.begin(), order_.end(), shuffler);
    bool moved = false;
    for (const std::size_t i : order_) {
      if (fibers_[i].state != State::ready) continue;
      resume(i);
      moved = true;
    }
    for (std::size_t w = 0; w < warps_.size(); ++w) release_warp(w);
    std::size_t done = 0, at_barrier = 0;
    for (const Fiber& fiber : fibers_)
      done += fiber.state == State::done, at_barrier += fiber.state == State::at_barrier;
    if (done == fibers_.size()) break;
    if (at_barrier > 0 && at_barrier + done == fibers_.size()) {
      for (Fiber& fiber : fibers_)
        if (fiber.state == State::at_barrier) fiber.state = State::ready;
    } else if (!moved && std::none_of(fibers_.begin(), fibers_.end(),
                                      [](const Fiber& f) { return f.state == State::ready; })) {
      stuck();
    }
  }
  running = nullptr;
}

}  // namespace

void run(dim3 blocks, dim3 threads, std::size_t shared_bytes, const std::function<void()>& body) {
  static std::mutex one_at_a_time;  // the built-in variables and shared memory are there once
  const std::lock_guard<std::mutex> lock(one_at_a_time);
  blockDim = threads;
  gridDim = blocks;
  Block block(threads, shared_bytes, body);
  for (blockIdx.z = 0; blockIdx.z < blocks.z; ++blockIdx.z)
    for (blockIdx.y = 0; blockIdx.y < blocks.y; ++blockIdx.y)
      for (blockIdx.x = 0; blockIdx.x < blocks.x; ++blockIdx.x) block.run();
}

void* dynamic_shared() { return running->shared(); }
void exchange(unsigned mask, const void* own, void* out, std::size_t bytes, int lane) {
  running->exchange(mask, own, out, bytes, lane);
}
void block_barrier() { running->wait(State::at_barrier); }
int current_lane() { return running->lane(); }

}  // namespace deadray::simt
