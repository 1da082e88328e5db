#include "verify/timing/timing_peers.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "host/base/error.h"
#include "host/base/process/spawn.h"
#include "host/base/stop_signals.h"
#include "host/formats/safetensors_writer.h"
#include "verify/device/memory.h"

namespace deadray {
namespace {

constexpr int kMilliseconds = 100;  // how soon a stop signal is noticed

std::span<const std::byte> bytes_in(const at::Tensor& dense) {
  return {static_cast<const std::byte*>(dense.const_data_ptr()), dense.nbytes()};
}

TimingMethod method_in(const nlohmann::json& entry, const std::filesystem::path& program) {
  const std::string name = entry.at("method");
  if (const auto method = timing_method_from_name(name)) return *method;
  throw ResourceError(fmt::format("--peers {}: it speaks of a method '{}' that there is not",
                                  program.string(), name));
}

}  // namespace

PeerProcess::PeerProcess(const std::filesystem::path& program, const std::filesystem::path& file,
                         const std::vector<TimingMethod>& methods, int threads) {
  int ends[2];  // a socket: writing to a process that has ended is then an error, not a signal
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    throw ResourceError(fmt::format("no channel to a further process: {}", std::strerror(errno)));
  std::vector<std::string_view> names;
  for (const TimingMethod method : methods) names.push_back(to_string(method));
  std::vector<std::string> arguments = {program.string(),
                                        "--worker",
                                        file.string(),
                                        "--threads",
                                        std::to_string(threads),
                                        "--methods",
                                        fmt::format("{}", fmt::join(names, ","))};
  channel_ = ends[0];
  try {
    process_ = spawn(program.string(), std::move(arguments),
                     {{{STDIN_FILENO, ends[1]}, {STDOUT_FILENO, ends[1]}}, /*own_group=*/true});
  } catch (const ResourceError& error) {
    close(ends[1]);
    end();
    throw ResourceError(fmt::format("--peers {}", error.what()));
  }
  close(ends[1]);
  try {
    take_offer(program);
  } catch (...) {
    end();
    throw;
  }
}

void PeerProcess::take_offer(const std::filesystem::path& program) {
  try {
    const auto offer = nlohmann::json::parse(read_line());
    for (const auto& entry : offer.at("peers")) {
      Contender contender;
      contender.method = method_in(entry, program);
      contender.peer = Peer{entry.at("peer"), entry.at("version"), entry.value("kernel", "")};
      contender.threads = entry.at("threads");
      contender.bytes = entry.at("bytes");
      contender.run = [this, index = contenders_.size()] { return seconds_of(index); };
      contender.available = [] { return static_cast<double>(available_memory()); };
      contender.process = process_;
      contenders_.push_back(std::move(contender));
    }
    for (const auto& entry : offer.at("missing"))
      missing_.push_back({method_in(entry, program), entry.at("peer"), entry.at("reason")});
  } catch (const nlohmann::json::exception&) {
    throw ResourceError(
        fmt::format("--peers {}: it ended, or did not say in one line of JSON what it can do",
                    program.string()));
  }
}

PeerProcess::~PeerProcess() { end(); }

void PeerProcess::end() {
  if (channel_ >= 0) close(std::exchange(channel_, -1));
  if (process_ <= 0) return;
  // In the middle of a long call it would not see that its input has ended.
  kill(process_, SIGTERM);
  wait_for_end(std::exchange(process_, -1));
}

std::string PeerProcess::read_line() {
  for (;;) {
    if (const std::size_t end = pending_.find('\n'); end != std::string::npos) {
      const std::string line = pending_.substr(0, end);
      pending_.erase(0, end + 1);
      return line;
    }
    throw_if_stopped();
    pollfd entry{channel_, POLLIN, 0};
    if (poll(&entry, 1, kMilliseconds) <= 0) continue;
    char bytes[4096];
    const ssize_t n = ::read(channel_, bytes, sizeof bytes);
    if (n > 0) pending_.append(bytes, static_cast<std::size_t>(n));
    if (n == 0 || (n < 0 && errno != EINTR)) return {};
  }
}

double PeerProcess::seconds_of(std::size_t index) {
  const std::string request = fmt::format("{}\n", index);
  const bool sent = channel_ >= 0 && send(channel_, request.data(), request.size(), MSG_NOSIGNAL) ==
                                         static_cast<ssize_t>(request.size());
  const std::string reply = sent ? read_line() : std::string();
  const auto json = nlohmann::json::parse(reply, nullptr, /*allow_exceptions=*/false);
  if (json.is_object() && json.contains("seconds")) return json.at("seconds").get<double>();
  if (json.is_object() && json.contains("error"))
    throw ResourceError(json.at("error").get<std::string>());
  end();
  throw ResourceError("the process of the peers has ended; out of memory?");
}

void write_problem(const std::filesystem::path& file, const TimingProblem& problem,
                   const TimedForward* forward, const std::filesystem::path& model) {
  const std::int64_t d = problem.hidden_size();
  const at::Tensor rows = problem.rows.contiguous(), covariance = problem.covariance.contiguous();
  std::vector<TensorDeclaration> tensors = {{"rows", DType::f64, {rows.size(0), d}},
                                            {"covariance", DType::f64, {d, d}},
                                            {"weight", DType::f64, {d}}};
  if (!problem.norm.beta.empty()) tensors.push_back({"bias", DType::f64, {d}});
  const at::Tensor ids = forward != nullptr && forward->calibration().ids.defined()
                             ? forward->calibration().ids.contiguous()
                             : at::Tensor();
  std::map<std::string, std::string> metadata{{"norm", std::string(to_string(problem.site.kind))}};
  if (ids.defined()) {
    tensors.push_back({"input_ids", DType::i64, ids.sizes().vec()});
    metadata["model"] = std::filesystem::absolute(model).string();
    metadata["init"] = to_string(forward->model().source);
  }
  SafetensorsWriter writer(file, tensors, metadata);
  writer.append(bytes_in(rows));
  writer.append(bytes_in(covariance));
  writer.append(std::as_bytes(std::span(problem.norm.gamma)));
  writer.append(std::as_bytes(std::span(problem.norm.beta)));
  if (ids.defined()) writer.append(bytes_in(ids));
  writer.finish();
}

}  // namespace deadray
