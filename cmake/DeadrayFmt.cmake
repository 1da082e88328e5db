# deadray::fmt: header-only. libtorch carries its own fmt headers, which shadow any other: use those where libtorch is, and link no second copy.
add_library(deadray_fmt INTERFACE)
add_library(deadray::fmt ALIAS deadray_fmt)
target_compile_definitions(deadray_fmt INTERFACE FMT_HEADER_ONLY=1)
if(DeadrayTorch_FOUND)
  # A folder of its own, so that the light side sees fmt and nothing else of libtorch.
  file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/fmt_include)
  file(CREATE_LINK ${DeadrayTorch_INCLUDE_DIR}/fmt ${PROJECT_BINARY_DIR}/fmt_include/fmt SYMBOLIC)
  target_include_directories(deadray_fmt SYSTEM INTERFACE ${PROJECT_BINARY_DIR}/fmt_include)
else()
  find_package(fmt REQUIRED)
  target_link_libraries(deadray_fmt INTERFACE fmt::fmt-header-only)
endif()
