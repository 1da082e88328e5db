#include "python/bindings/find_model.h"

#include <nanobind/nanobind.h>

#include <filesystem>

namespace deadray {
namespace {

/// bin of the environment that Python runs in, where packages put their programs.
std::filesystem::path programs_of_python() {
  const nanobind::gil_scoped_acquire held;
  const nanobind::object prefix = nanobind::module_::import_("sys").attr("prefix");
  return std::filesystem::path(nanobind::str(prefix).c_str()) / "bin";
}

}  // namespace

ResolvedModels find_model(const std::string& given, HubPurpose purpose) {
  return resolve_models(
      {given},
      {purpose, {programs_of_python(), /*quiet=*/true, /*keep_messages=*/true}, false, {}});
}

}  // namespace deadray
