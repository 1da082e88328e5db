#pragma once

#include <nanobind/nanobind.h>

#include <exception>

#include "host/base/error.h"

namespace deadray {

/// From here on the functions of this Python module raise the class of deadray.errors that has the
/// exit code of the Error that is thrown, with the line that the program would print.
inline void raise_deadray_errors() {
  nanobind::register_exception_translator([](const std::exception_ptr& thrown, void*) {
    try {
      std::rethrow_exception(thrown);
    } catch (const Error& error) {
      const nanobind::object raised =
          nanobind::module_::import_("deadray.errors")
              .attr("error_of")(static_cast<int>(error.code()), error.what());
      PyErr_SetObject(raised.type().ptr(), raised.ptr());
    }
  });
}

}  // namespace deadray
