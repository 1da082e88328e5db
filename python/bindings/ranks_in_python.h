#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "host/base/error.h"
#include "verify/ranks/communicator.h"

namespace deadray {

/// Ranks that a Python object speaks for (deadray/modules/ranks.py): over torch.distributed. Takes
/// the interpreter's lock where it calls.
class RanksInPython final : public Communicator {
 public:
  explicit RanksInPython(nanobind::object ranks)
      : ranks_(std::move(ranks)),
        rank_(nanobind::cast<int>(ranks_.attr("rank"))),
        size_(nanobind::cast<int>(ranks_.attr("size"))) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int rank_on_host() const override {
    const auto mine = hosts().begin() + rank_;
    return static_cast<int>(std::count(hosts().begin(), mine, *mine));
  }
  int ranks_on_host() const override {
    return static_cast<int>(
        std::count(hosts().begin(), hosts().end(), hosts()[static_cast<std::size_t>(rank_)]));
  }
  /// The first call is collective.
  const std::vector<std::string>& hosts() const override {
    if (hosts_.empty()) {
      const nanobind::gil_scoped_acquire lock;
      hosts_ = nanobind::cast<std::vector<std::string>>(ranks_.attr("hosts"));
    }
    return hosts_;
  }

  void sum_to(int root, std::span<double> values) override { call("sum_to", root, values); }
  void broadcast(int root, std::span<double> values) override { call("broadcast", root, values); }

  std::vector<std::string> gather(const std::string& bytes) override {
    const nanobind::gil_scoped_acquire lock;
    const nanobind::object all = ranks_.attr("gather")(nanobind::bytes(bytes.data(), bytes.size()));
    std::vector<std::string> parts;
    for (const nanobind::handle part : all) {
      const auto one = nanobind::cast<nanobind::bytes>(part);
      parts.emplace_back(one.c_str(), one.size());
    }
    return parts;
  }

  void finish() override {}
  [[noreturn]] void abort(int exit_code) override {
    throw InternalError("ranks under torch.distributed are not ended from here, exit code " +
                        std::to_string(exit_code));
  }

 private:
  void call(const char* what, int root, std::span<double> values) {
    const nanobind::gil_scoped_acquire lock;
    const std::size_t shape[] = {values.size()};
    const nanobind::ndarray<nanobind::numpy, double> view(values.data(), 1, shape,
                                                          nanobind::none());
    ranks_.attr(what)(root, view);
  }

  nanobind::object ranks_;
  int rank_, size_;
  mutable std::vector<std::string> hosts_;
};

}  // namespace deadray
