#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace deadray {

/// What is timed.
enum class TimingMethod {
  predict,       ///< one prediction, in memory
  predict_cold,  ///< the whole process `deadray predict`
  directional,   ///< variances along the predicted directions
  moments,       ///< mean and covariance of the rows
  certificate,   ///< Cholesky and Lanczos
  spectrum,      ///< all eigenvalues, and the eigenvectors that a verdict reads
  eigh,          ///< all eigenvalues and eigenvectors
  svd,           ///< of the centred rows
  forward,       ///< a model's forward pass
  eigh_bottom,   ///< the bottom eigenvectors alone; of peers
  eigenvalues,   ///< all eigenvalues, no eigenvector; of peers
  fisher,        ///< of peers
};

/// deadray's own methods, in the order of their costs.
inline constexpr std::array kOwnMethods = {
    TimingMethod::predict, TimingMethod::predict_cold, TimingMethod::directional,
    TimingMethod::moments, TimingMethod::certificate,  TimingMethod::spectrum,
    TimingMethod::eigh,    TimingMethod::svd,          TimingMethod::forward};
/// Those of which `bench timing` has peers' ways alone.
inline constexpr std::array kPeerMethods = {TimingMethod::eigh_bottom, TimingMethod::eigenvalues,
                                            TimingMethod::fisher};

std::string_view to_string(TimingMethod method) noexcept;
/// The inverse of to_string(); nothing for any other word.
std::optional<TimingMethod> timing_method_from_name(std::string_view name) noexcept;

/// A program that is not ours, on the same data.
struct Peer {
  std::string name;     ///< "scipy evr"
  std::string version;  ///< of the library
  std::string kernel;   ///< of its BLAS, as that names it; empty: not known
};

/// One way to the answer, ready to be timed on one problem.
struct Contender {
  TimingMethod method = TimingMethod::predict;
  std::string device = "cpu";
  std::optional<Peer> peer;           ///< absent: deadray itself
  int threads = 1;                    ///< that it uses
  double bytes = 0;                   ///< that a call takes beside the problem, upper estimate
  std::function<double()> run;        ///< one call; its seconds
  std::function<double()> available;  ///< bytes that may be taken where it computes
  std::optional<int> process;         ///< a child that computes it; absent: this process
};

}  // namespace deadray
