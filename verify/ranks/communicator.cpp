#include "verify/ranks/communicator.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "host/base/stop_signals.h"

namespace deadray {
namespace {

std::string name_of_host() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

class OneProcess final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  int rank_on_host() const override { return 0; }
  int ranks_on_host() const override { return 1; }
  const std::vector<std::string>& hosts() const override { return hosts_; }
  void sum_to(int, std::span<double>) override {}
  void broadcast(int, std::span<double>) override {}
  std::vector<std::string> gather(const std::string& bytes) override { return {bytes}; }
  void finish() override {}
  [[noreturn]] void abort(int exit_code) override { std::exit(exit_code); }

 private:
  std::vector<std::string> hosts_{name_of_host()};
};

}  // namespace

void Communicator::all_sum(std::span<double> values) {
  sum_to(0, values);  // then sent: sums made on each rank in an order of its own may round apart
  broadcast(0, values);
}

double Communicator::largest(double value) {
  std::vector<double> of_each(static_cast<std::size_t>(size()), 0.0);
  of_each[static_cast<std::size_t>(rank())] = value;
  all_sum(of_each);
  return *std::max_element(of_each.begin(), of_each.end());
}

Communicator& one_process() {
  static OneProcess process;
  return process;
}

std::vector<double> mean_over_ranks(Communicator& ranks, std::vector<double> means, double rows) {
  if (ranks.size() == 1) return means;
  for (double& mean : means) mean = rows > 0 ? mean * rows : 0.0;
  means.push_back(rows);
  ranks.all_sum(means);
  const double total = std::max(means.back(), 1.0);
  means.pop_back();
  for (double& mean : means) mean /= total;
  return means;
}

std::vector<std::string> notes_of_ranks(Communicator& ranks,
                                        const std::vector<std::string>& notes) {
  if (ranks.size() == 1) return notes;
  const std::vector<std::uint8_t> mine = nlohmann::json::to_cbor(notes);  // any bytes
  const std::vector<std::string> of_each = ranks.gather({mine.begin(), mine.end()});
  std::vector<std::string> all;
  for (std::size_t rank = 0; rank < of_each.size(); ++rank)
    for (const auto& note : nlohmann::json::from_cbor(of_each[rank])) {
      const auto text = note.get<std::string>();
      if (std::find(all.begin(), all.end(), text) == all.end()) all.push_back(text);
    }
  return all;
}

void throw_if_any_stopped(Communicator& ranks) {
  const double signal = ranks.largest(stop_asked_for().value_or(0));
  if (signal > 0) throw Stopped{static_cast<int>(signal)};
}

}  // namespace deadray
