# Finds the libtorch of a Python wheel (torch 2.11.0 is the pinned release). torch's own TorchConfig
# is not used: it insists on a CUDA toolkit and links all of libtorch.
# Looks in DEADRAY_TORCH_DIR (a folder `torch` with include/ and lib/), then in .venv, then asks the
# python3 at hand. pip asks for the environment that it installs into, no other: the interpreter is
# that one's, and -I shows what pip hides from a build.
# Targets: deadray::torch_cpu. Variables: DeadrayTorch_INCLUDE_DIR, DeadrayTorch_VERSION.
set(DEADRAY_TORCH_DIR "" CACHE PATH "Folder `torch` of a PyTorch wheel")
if(DEADRAY_TORCH_DIR)
  set(_torch_dir ${DEADRAY_TORCH_DIR})
else()
  if(SKBUILD)
    set(_asked ${Python_EXECUTABLE} -I)
  else()
    file(GLOB _torch_dir ${PROJECT_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch)
    set(_asked python3)
  endif()
  if(NOT _torch_dir)
    execute_process(COMMAND ${_asked} -c
      "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])"
      OUTPUT_VARIABLE _torch_dir OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  endif()
endif()
find_path(DeadrayTorch_INCLUDE_DIR ATen/ATen.h HINTS ${_torch_dir}/include NO_DEFAULT_PATH)
find_library(DeadrayTorch_CPU torch_cpu HINTS ${_torch_dir}/lib NO_DEFAULT_PATH)
find_library(DeadrayTorch_C10 c10 HINTS ${_torch_dir}/lib NO_DEFAULT_PATH)
# The OpenMP library that libtorch's threads come from; some wheels put a hash into its name.
file(GLOB _openmp ${_torch_dir}/lib/libgomp*.so*)
list(APPEND _openmp gomp)  # a libtorch that uses the compiler's
list(GET _openmp 0 DeadrayTorch_OPENMP)
if(EXISTS ${_torch_dir}/version.py)
  file(STRINGS ${_torch_dir}/version.py _version REGEX "^__version__")
  string(REGEX REPLACE ".*'([0-9.]+).*" "\\1" DeadrayTorch_VERSION "${_version}")
endif()
include(FindPackageHandleStandardArgs)
string(CONCAT _advice "run scripts/setup, or point -DDEADRAY_TORCH_DIR at the folder torch of a "
  "wheel, or build the predictor alone with -DDEADRAY_VERIFY=OFF")
find_package_handle_standard_args(DeadrayTorch
  REQUIRED_VARS DeadrayTorch_CPU DeadrayTorch_C10 DeadrayTorch_INCLUDE_DIR
  VERSION_VAR DeadrayTorch_VERSION HANDLE_VERSION_RANGE
  REASON_FAILURE_MESSAGE "${_advice}")
if(DeadrayTorch_FOUND AND NOT TARGET deadray::torch_cpu)
  add_library(deadray::torch_cpu INTERFACE IMPORTED)
  target_include_directories(deadray::torch_cpu SYSTEM INTERFACE ${DeadrayTorch_INCLUDE_DIR})
  target_compile_definitions(deadray::torch_cpu INTERFACE _GLIBCXX_USE_CXX11_ABI=1)
  get_filename_component(DeadrayTorch_LIBRARY_DIR ${DeadrayTorch_CPU} DIRECTORY)
  # libtorch_cpu needs CUPTI and the CUDA run time although it never calls them on the CPU. The
  # wheel finds them through its own RPATH.
  target_link_options(deadray::torch_cpu INTERFACE
    LINKER:-rpath,${DeadrayTorch_LIBRARY_DIR} LINKER:--allow-shlib-undefined)
  target_link_libraries(deadray::torch_cpu INTERFACE
    ${DeadrayTorch_CPU} ${DeadrayTorch_C10} ${DeadrayTorch_OPENMP})
endif()
