#pragma once

#include <nanobind/nanobind.h>

namespace deadray {

/// Gives the module what counts flat directions: of files, of a configuration, of tensors that
/// Python holds.
void add_census(nanobind::module_& module);

}  // namespace deadray
