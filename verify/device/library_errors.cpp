#include "verify/device/library_errors.h"

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <string_view>

#include "host/base/error.h"
#include "kernels/cuda/cuda_error.h"

namespace deadray {
namespace {

/// libtorch's message carries a call stack over many lines; the first line is kept. Want of memory
/// is told by its words.
[[noreturn]] void rethrow(const c10::Error& error) {
  std::string what = error.what_without_backtrace();
  what.resize(std::min(what.find('\n'), what.size()));
  const auto says = [&](const char* words) { return what.find(words) != std::string::npos; };
  if (says("allocate memory") || says("out of memory") ||
      says("Storage size calculation overflowed")) {
    const std::size_t wanted =
        what.find("allocate ", std::min(what.find("tried to "), what.size()));
    const std::string bytes =
        wanted == std::string::npos
            ? ""
            : ": could not " + what.substr(wanted, what.find(". ", wanted) - wanted);
    throw ResourceError(
        fmt::format("not enough memory{}; give fewer tokens, or one norm with --site NAME", bytes));
  }
  // libtorch's own generator of random numbers takes its first number there, though we seed ours.
  if (says("/dev/urandom"))
    throw ResourceError(
        fmt::format("{}: it is missing, or too many files are open (raise `ulimit -n`)", what));
  throw std::runtime_error(what);
}

/// oneDNN makes its machine code when it is first needed, and says no more than this where the
/// memory for it is lacking.
bool lacks_memory_for_code(std::string_view what) {
  return what == "could not create a primitive" || what == "could not execute a primitive";
}

/// A device's failures by what the user can do about them.
[[noreturn]] void rethrow(const kernels::CudaError& error) {
  switch (error.kind()) {
    case kernels::CudaError::Kind::no_device:
      throw ResourceError(fmt::format("{}; give another --device", error.what()));
    case kernels::CudaError::Kind::out_of_memory:
      throw ResourceError(
          fmt::format("not enough memory on the device: {}; give fewer tokens, one norm with "
                      "--site NAME, or --device cpu",
                      error.what()));
    case kernels::CudaError::Kind::out_of_host_memory:
      throw ResourceError(
          fmt::format("not enough memory of the host: {}; free some of it, or give --device cpu",
                      error.what()));
    case kernels::CudaError::Kind::too_large:
      throw ResourceError(fmt::format(
          "too large for the device's libraries: {}; give --method certificate or --device cpu",
          error.what()));
    case kernels::CudaError::Kind::unsolved:
      throw ResourceError(
          fmt::format("the device's libraries gave no result that passes: {}; give --method "
                      "certificate or --device cpu",
                      error.what()));
    case kernels::CudaError::Kind::other:
      break;
  }
  throw InternalError(error.what());
}

}  // namespace

int translate_library_errors(const std::function<int()>& body) {
  try {
    return body();
  } catch (const c10::Error& error) {
    rethrow(error);
  } catch (const kernels::CudaError& error) {
    rethrow(error);
  } catch (const std::exception& error) {
    if (!lacks_memory_for_code(error.what())) throw;
    throw ResourceError(fmt::format(
        "not enough memory: oneDNN {}; free some of it, or give fewer tokens", error.what()));
  }
}

}  // namespace deadray
