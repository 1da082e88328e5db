# Finds a CUDA compiler and turns the language on. It looks, in this order, at
# -DCMAKE_CUDA_COMPILER or $CUDACXX, PATH, /usr/local/cuda, and the wheels of PyPI's cuda-toolkit,
# beside the torch in use or in .venv. Where there is none and DEADRAY_CUDA is AUTO, it becomes OFF.
# The CUDA run time is linked statically.
# Targets, where found: deadray::cublas, deadray::cusolver.
# Variables: DEADRAY_CUDA_ARCHITECTURES, DEADRAY_CUOBJDUMP.
set(DEADRAY_CUDA_ARCHITECTURES "80-real;90a-real;100" CACHE STRING
  "As CMAKE_CUDA_ARCHITECTURES takes them; without -real also PTX, for later devices")

file(GLOB _wheels ${PROJECT_SOURCE_DIR}/.venv/lib/python3*/site-packages)
if(DeadrayTorch_INCLUDE_DIR)
  get_filename_component(_torch_site ${DeadrayTorch_INCLUDE_DIR}/../.. ABSOLUTE)
  list(PREPEND _wheels ${_torch_site})
endif()
list(TRANSFORM _wheels APPEND /nvidia/cu13)

if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(DEADRAY_NVCC nvcc PATHS /usr/local/cuda ${_wheels} PATH_SUFFIXES bin)
  if(NOT DEADRAY_NVCC AND DEADRAY_CUDA STREQUAL AUTO)
    message(STATUS "No CUDA compiler: the kernels are left out; scripts/setup --cuda brings one")
    set(DEADRAY_CUDA OFF)
    return()
  endif()
  if(NOT DEADRAY_NVCC)
    message(FATAL_ERROR "no CUDA compiler: nvcc is neither on PATH nor in /usr/local/cuda nor in "
      ".venv; run scripts/setup --cuda, or leave the kernels out with -DDEADRAY_CUDA=OFF")
  endif()
  set(CMAKE_CUDA_COMPILER ${DEADRAY_NVCC})
endif()
if(CMAKE_CUDA_COMPILER)
  # nvcc links from lib64/; the wheels have lib/.
  get_filename_component(_nvcc ${CMAKE_CUDA_COMPILER} REALPATH)
  get_filename_component(_cuda_root ${_nvcc}/../.. ABSOLUTE)
  if(EXISTS ${_cuda_root}/lib AND NOT EXISTS ${_cuda_root}/lib64)
    string(APPEND CMAKE_CUDA_FLAGS_INIT " -L${_cuda_root}/lib")
  endif()
endif()
if(NOT DEFINED CMAKE_CUDA_HOST_COMPILER AND NOT DEFINED ENV{CUDAHOSTCXX})
  set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
endif()
set(CMAKE_CUDA_ARCHITECTURES ${DEADRAY_CUDA_ARCHITECTURES})
set(CMAKE_CUDA_STANDARD 17)  # CMake 3.25 knows no CUDA C++20 for nvcc
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)
enable_language(CUDA)

# One copy in the process: libtorch's, out of the same wheels, goes before the toolkit's. Wheels
# name shared libraries by version alone.
set(_places HINTS ${_wheels} ${CMAKE_CUDA_COMPILER_TOOLKIT_ROOT})
foreach(_library cublas:13 cusolver:12)
  string(REPLACE ":" ";" _library ${_library})
  list(GET _library 0 _name)
  list(GET _library 1 _version)
  find_library(DEADRAY_${_name} NAMES lib${_name}.so.${_version} ${_name}
    ${_places} PATH_SUFFIXES lib lib64)
  find_path(DEADRAY_${_name}_INCLUDE_DIR NAMES ${_name}Dn.h ${_name}_v2.h
    ${_places} PATH_SUFFIXES include)
  if(DEADRAY_${_name} AND DEADRAY_${_name}_INCLUDE_DIR AND NOT TARGET deadray::${_name})
    add_library(deadray::${_name} SHARED IMPORTED GLOBAL)
    get_filename_component(_directory ${DEADRAY_${_name}} DIRECTORY)
    set_target_properties(deadray::${_name} PROPERTIES
      IMPORTED_LOCATION ${DEADRAY_${_name}}
      INTERFACE_INCLUDE_DIRECTORIES ${DEADRAY_${_name}_INCLUDE_DIR}
      # CMake leaves it out where nvcc looks by itself. The tag of old: LD_LIBRARY_PATH, which
      # toolkits set, goes before the new one's folders, so that their copies would load first.
      INTERFACE_LINK_OPTIONS LINKER:-rpath,${_directory},--disable-new-dtags)
  endif()
endforeach()

# What these two load. They name folders by the new tag, which LD_LIBRARY_PATH goes before; what the
# module names itself is loaded before that, from the same folder.
if(TARGET deadray::cublas)
  get_target_property(_cublas deadray::cublas IMPORTED_LOCATION)
  get_filename_component(_directory ${_cublas} DIRECTORY)
  file(GLOB _beside ${_directory}/libcublasLt.so.13 ${_directory}/libcusparse.so.12
    ${_directory}/libnvJitLink.so.13)
  set_property(TARGET deadray::cublas APPEND PROPERTY
    INTERFACE_LINK_LIBRARIES -Wl,--push-state,--no-as-needed ${_beside} -Wl,--pop-state)
endif()

# Lists what a module was compiled for. Few toolkits of wheels have it: it is a package of its own,
# or triton's copy beside torch.
string(REPLACE "/nvidia/cu13" "/triton/backends/nvidia" _tritons "${_wheels}")
find_program(DEADRAY_CUOBJDUMP cuobjdump HINTS ${CMAKE_CUDA_COMPILER_TOOLKIT_ROOT}
  PATHS ${_wheels} ${_tritons} PATH_SUFFIXES bin)
