#include "verify/ranks/mpi_module.h"

#include <fmt/format.h>
#include <mpi.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "host/base/error.h"
#include "verify/ranks/heartbeat.h"

namespace deadray {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kLost = static_cast<int>(ExitCode::resources);

std::string text_of(int error) {
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(error, text.data(), &length);
  return {text.data(), static_cast<std::size_t>(length)};
}

void require(int error, const char* what) {
  if (error != MPI_SUCCESS) throw ResourceError(fmt::format("MPI: {}: {}", what, text_of(error)));
}

/// Ranks over MPI_COMM_WORLD. Two threads call MPI, one at a time; neither waits inside MPI, so
/// that nothing spins and the heart goes on beating.
class MpiRanks final : public Communicator {
 public:
  explicit MpiRanks(const RankWatch& watch) : watch_(watch) {
    int given = 0;
    if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &given) != MPI_SUCCESS ||
        given < MPI_THREAD_SERIALIZED)
      throw ResourceError("MPI does not start, or not for two threads");
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
    MPI_Comm_dup(MPI_COMM_WORLD, &work_);
    MPI_Comm_dup(MPI_COMM_WORLD, &ring_);
    MPI_Comm_set_errhandler(work_, MPI_ERRORS_RETURN);
    find_hosts();
    if (size_ > 1)
      heart_.emplace([this] { return exchange_beats(); },
                     std::chrono::seconds(watch.silence_seconds), [this] { lose(before()); });
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int rank_on_host() const override { return rank_on_host_; }
  int ranks_on_host() const override { return ranks_on_host_; }
  const std::vector<std::string>& hosts() const override { return hosts_; }

  void sum_to(int root, std::span<double> values) override {
    for_each_piece(values, [&](double* piece, int n) {
      const bool keeps = rank_ == root;
      await("a sum", [&](MPI_Request& request) {
        return MPI_Ireduce(keeps ? MPI_IN_PLACE : piece, keeps ? piece : nullptr, n, MPI_DOUBLE,
                           MPI_SUM, root, work_, &request);
      });
    });
  }

  void broadcast(int root, std::span<double> values) override {
    for_each_piece(values, [&](double* piece, int n) {
      await("a broadcast", [&](MPI_Request& request) {
        return MPI_Ibcast(piece, n, MPI_DOUBLE, root, work_, &request);
      });
    });
  }

  std::vector<std::string> gather(const std::string& bytes) override {
    constexpr std::size_t kMost = std::size_t{1} << 30;  // of all ranks: MPI counts in ints
    const auto count = static_cast<std::size_t>(size_);
    if (bytes.size() > kMost / count)
      throw ResourceError(
          fmt::format("{} bytes are too many to gather from {} ranks", bytes.size(), size_));
    std::vector<int> lengths(count), places(count);
    const int mine = static_cast<int>(bytes.size());
    await("lengths", [&](MPI_Request& request) {
      return MPI_Iallgather(&mine, 1, MPI_INT, lengths.data(), 1, MPI_INT, work_, &request);
    });
    int total = 0;
    for (std::size_t i = 0; i < count; ++i) places[i] = std::exchange(total, total + lengths[i]);
    std::string all(static_cast<std::size_t>(total), '\0');
    await("results", [&](MPI_Request& request) {
      return MPI_Iallgatherv(bytes.data(), mine, MPI_CHAR, all.data(), lengths.data(),
                             places.data(), MPI_CHAR, work_, &request);
    });
    std::vector<std::string> of_each;
    for (std::size_t i = 0; i < count; ++i)
      of_each.push_back(
          all.substr(static_cast<std::size_t>(places[i]), static_cast<std::size_t>(lengths[i])));
    return of_each;
  }

  void finish() override {
    wait_for("the end", std::chrono::microseconds(200),
             [&](MPI_Request& request) { return MPI_Ibarrier(work_, &request); });
    heart_.reset();
    MPI_Finalize();
  }

  [[noreturn]] void abort(int exit_code) override {
    // The other thread may be stuck in a call: then this one must not wait for it.
    const std::unique_lock lock(calls_, std::chrono::seconds(1));
    MPI_Abort(MPI_COMM_WORLD, exit_code);
    std::_Exit(exit_code);
  }

 private:
  template <class Body>
  static void for_each_piece(std::span<double> values, Body body) {
    constexpr std::size_t kMost = std::size_t{1} << 24;  // MPI counts in ints
    for (std::size_t begin = 0; begin < values.size(); begin += kMost)
      body(values.data() + begin, static_cast<int>(std::min(kMost, values.size() - begin)));
  }

  /// Waits until all ranks have come, then makes an exchange. The first wait may be long and costs
  /// others little; the second is short, and moves on only while it is asked.
  template <class Begin>
  void await(const char* what, Begin begin) {
    wait_for(what, std::chrono::microseconds(200),
             [&](MPI_Request& request) { return MPI_Ibarrier(work_, &request); });
    try {
      wait_for(what, std::chrono::microseconds(0), begin);
    } catch (const ResourceError& error) {
      // What is under way may still write into buffers that an exception would free.
      end_with(error.what());
    }
  }

  [[noreturn]] void end_with(std::string_view why) {
    watch_.report(fmt::format("deadray: rank {} of {}: {}", rank_, size_, why).c_str());
    abort(kLost);
  }

  /// @param pause  between two questions, once the first milliseconds are over
  template <class Begin>
  void wait_for(const char* what, std::chrono::microseconds pause, Begin begin) {
    MPI_Request request = MPI_REQUEST_NULL;
    {
      const std::lock_guard lock(calls_);
      require(begin(request), what);
    }
    const auto asked = Clock::now();
    for (int done = 0;;) {
      {
        const std::lock_guard lock(calls_);
        require(MPI_Test(&request, &done, MPI_STATUS_IGNORE), what);
      }
      if (done != 0) return;
      const auto waited = Clock::now() - asked;
      if (waited > std::chrono::seconds(watch_.wait_seconds))
        throw ResourceError(
            fmt::format("waited {} s for the other ranks, for {}: one of them does not get on; "
                        "DEADRAY_RANK_WAIT sets how long",
                        watch_.wait_seconds, what));
      if (waited > std::chrono::milliseconds(2) && pause.count() > 0)
        std::this_thread::sleep_for(pause);
      else
        std::this_thread::yield();
    }
  }

  void find_hosts() {
    std::array<char, MPI_MAX_PROCESSOR_NAME> name{};
    int length = 0;
    MPI_Get_processor_name(name.data(), &length);
    hosts_ = gather({name.data(), static_cast<std::size_t>(length)});
    const std::string& own = hosts_[static_cast<std::size_t>(rank_)];
    for (int other = 0; other < size_; ++other) {
      if (hosts_[static_cast<std::size_t>(other)] != own) continue;
      ++ranks_on_host_;
      if (other < rank_) ++rank_on_host_;
    }
  }

  // Each rank watches the one before it.
  int next() const { return (rank_ + 1) % size_; }
  int before() const { return (rank_ + size_ - 1) % size_; }

  /// Sends one beat, and takes those that have come.
  bool exchange_beats() {
    static const char beat = 0;  // outlives the sends
    const std::lock_guard lock(calls_);
    MPI_Request request = MPI_REQUEST_NULL;
    MPI_Isend(&beat, 1, MPI_CHAR, next(), 0, ring_, &request);
    MPI_Request_free(&request);
    bool any = false;
    for (int here = 1; here != 0;) {
      MPI_Iprobe(before(), 0, ring_, &here, MPI_STATUS_IGNORE);
      char received = 0;
      if (here != 0) MPI_Recv(&received, 1, MPI_CHAR, before(), 0, ring_, MPI_STATUS_IGNORE);
      any = any || here != 0;
    }
    return any;
  }

  void lose(int rank) {
    watch_.report(
        fmt::format("deadray: rank {} of {} on {} gave no sign of life for {} s: it is stopped, or "
                    "its host is gone; the job is ended (DEADRAY_RANK_TIMEOUT sets how long)",
                    rank, size_, hosts_[static_cast<std::size_t>(rank)], watch_.silence_seconds)
            .c_str());
    abort(kLost);
  }

  RankWatch watch_;
  std::timed_mutex calls_;  // one thread at a time calls MPI
  int rank_ = 0, size_ = 1, rank_on_host_ = 0, ranks_on_host_ = 0;
  MPI_Comm work_ = MPI_COMM_NULL, ring_ = MPI_COMM_NULL;
  std::vector<std::string> hosts_;
  std::optional<Heartbeat> heart_;
};

}  // namespace
}  // namespace deadray

extern "C" __attribute__((visibility("default"))) deadray::Communicator* deadray_mpi_ranks(
    const char* interface, const deadray::RankWatch& watch) {
  if (std::strcmp(interface, DEADRAY_RANKS_INTERFACE) != 0) return nullptr;
  static auto* ranks = new deadray::MpiRanks(watch);  // MPI is not taken down by destructors
  return ranks;
}
