# deadray::fmt: header-only. libtorch carries its own fmt headers, which shadow any other. Where
# libtorch is, those are used and no second copy is linked.
add_library(deadray_fmt INTERFACE)
add_library(deadray::fmt ALIAS deadray_fmt)
target_compile_definitions(deadray_fmt INTERFACE FMT_HEADER_ONLY=1)
if(NOT DeadrayTorch_FOUND)
  # Without the heavy side a system fmt will do; where there is none, the wheel's headers. A Python
  # wheel is built with those of PyPI's cmeel-fmt.
  deadray_pypi_folder(cmeel.prefix _cmeel)
  find_package(fmt QUIET HINTS ${_cmeel})
  if(NOT fmt_FOUND)
    find_package(DeadrayTorch QUIET)
  endif()
endif()
if(DeadrayTorch_FOUND)
  # A folder of its own, so that the light side sees fmt and nothing else of libtorch.
  file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/fmt_include)
  file(CREATE_LINK ${DeadrayTorch_INCLUDE_DIR}/fmt ${PROJECT_BINARY_DIR}/fmt_include/fmt SYMBOLIC)
  target_include_directories(deadray_fmt SYSTEM INTERFACE ${PROJECT_BINARY_DIR}/fmt_include)
else()
  find_package(fmt REQUIRED HINTS ${_cmeel})
  target_link_libraries(deadray_fmt INTERFACE fmt::fmt-header-only)
endif()
