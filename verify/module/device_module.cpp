#include "verify/module/device_module.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <regex>

#include "host/base/error.h"

namespace deadray {
namespace {

/// The folder of the program, or of the Python module that this code is part of.
std::filesystem::path own_folder() {
  Dl_info here{};
  static const char inside = 0;
  if (dladdr(&inside, &here) != 0 && here.dli_fname) {
    const std::filesystem::path file = here.dli_fname;
    if (file.extension() == ".so") return file.parent_path();
  }
  return std::filesystem::read_symlink("/proc/self/exe").parent_path();
}

std::string module_path() {
  if (const char* given = std::getenv("DEADRAY_KERNELS")) return given;
  return own_folder() / "libdeadray_cuda.so";
}

const kernels::CudaOperations& load_operations() {
  try {
    return kernels::load_cuda_operations(module_path().c_str());
  } catch (const kernels::CudaError& error) {
    throw ResourceError(error.what());
  }
}

int count_devices(const kernels::CudaOperations& operations) {
  try {
    return operations.device_count();
  } catch (const kernels::CudaError& error) {  // a device whose driver or system is not ready
    throw ResourceError(error.what());
  }
}

}  // namespace

std::optional<int> cuda_index(std::string_view device) {
  std::match_results<std::string_view::const_iterator> match;
  if (!std::regex_match(device.begin(), device.end(), match, std::regex("cuda(?::([0-9]{1,3}))?")))
    return std::nullopt;
  return match[1].matched ? std::stoi(match[1].str()) : 0;
}

const kernels::CudaOperations& operations_of_device(int index) {
  const kernels::CudaOperations& operations = load_operations();
  const int count = count_devices(operations);
  if (count == 0)
    throw ResourceError("no CUDA device here, or no driver for it: nvidia-smi should list one");
  if (index >= count)
    throw ResourceError(
        fmt::format("no CUDA device {}: there are {}, counted from 0", index, count));
  return operations;
}

int visible_devices() { return count_devices(load_operations()); }

std::string cuda_version_text(int number) {
  return fmt::format("{}.{}", number / 1000, number % 1000 / 10);
}

}  // namespace deadray
