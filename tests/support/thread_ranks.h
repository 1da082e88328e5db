#pragma once

#include <algorithm>
#include <barrier>
#include <exception>
#include <functional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "verify/ranks/communicator.h"

namespace deadray::test {

/// Ranks that are threads of this process: what they sum is what processes over MPI sum, without a
/// launcher.
class ThreadRanks {
 public:
  /// Runs body(ranks) on `size` threads. @throws what the first rank that failed has thrown; none
  /// may fail while others wait
  static void run(int size, const std::function<void(Communicator&)>& body) {
    ThreadRanks shared(size);
    std::vector<std::exception_ptr> failures(static_cast<std::size_t>(size));
    std::vector<std::thread> threads;
    for (int rank = 0; rank < size; ++rank)
      threads.emplace_back([&, rank] {
        One one(shared, rank);
        try {
          body(one);
        } catch (...) {
          failures[static_cast<std::size_t>(rank)] = std::current_exception();
        }
      });
    for (std::thread& thread : threads) thread.join();
    for (const std::exception_ptr& failure : failures)
      if (failure) std::rethrow_exception(failure);
  }

 private:
  explicit ThreadRanks(int size)
      : size_(size),
        hosts_(static_cast<std::size_t>(size), "here"),
        bytes_(static_cast<std::size_t>(size)),
        meeting_(size) {}

  class One final : public Communicator {
   public:
    One(ThreadRanks& shared, int rank) : shared_(shared), rank_(rank) {}
    int rank() const override { return rank_; }
    int size() const override { return shared_.size_; }
    int rank_on_host() const override { return rank_; }
    int ranks_on_host() const override { return shared_.size_; }
    const std::vector<std::string>& hosts() const override { return shared_.hosts_; }

    void sum_to(int root, std::span<double> values) override {
      const std::vector<std::string> all = gather(text_of(values));
      if (rank_ != root) return;
      std::fill(values.begin(), values.end(), 0.0);
      for (const std::string& bytes : all) {
        const auto* of_rank = reinterpret_cast<const double*>(bytes.data());
        for (std::size_t i = 0; i < values.size(); ++i) values[i] += of_rank[i];
      }
    }
    void broadcast(int root, std::span<double> values) override {
      const std::vector<std::string> all = gather(text_of(values));
      const std::string& bytes = all[static_cast<std::size_t>(root)];
      std::copy_n(reinterpret_cast<const double*>(bytes.data()), values.size(), values.begin());
    }
    std::vector<std::string> gather(const std::string& bytes) override {
      shared_.bytes_[static_cast<std::size_t>(rank_)] = bytes;
      shared_.meeting_.arrive_and_wait();
      std::vector<std::string> all = shared_.bytes_;
      shared_.meeting_.arrive_and_wait();  // before the next exchange overwrites them
      return all;
    }
    void finish() override {}
    [[noreturn]] void abort(int) override { std::terminate(); }

   private:
    static std::string text_of(std::span<double> values) {
      return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
    }
    ThreadRanks& shared_;
    int rank_;
  };

  int size_;
  std::vector<std::string> hosts_, bytes_;
  std::barrier<> meeting_;
};

}  // namespace deadray::test
