# Decides whether the Python package is built, and finds its Python and nanobind. DEADRAY_PACKAGE is
# ON or OFF afterwards. The interpreter is the one that pip runs in, or else that of .venv-python,
# which scripts/setup --python makes; -DPython_EXECUTABLE names another.
set(_venv_python ${PROJECT_SOURCE_DIR}/.venv-python/bin/python)
if(NOT Python_EXECUTABLE AND EXISTS ${_venv_python})
  set(Python_EXECUTABLE ${_venv_python})
endif()

set(_missing "")
if(Python_EXECUTABLE OR NOT DEADRAY_PACKAGE STREQUAL AUTO)
  find_package(Python 3.10 QUIET GLOBAL COMPONENTS Interpreter Development.Module)
  if(Python_FOUND)
    execute_process(COMMAND ${Python_EXECUTABLE} -m nanobind --cmake_dir
      OUTPUT_VARIABLE nanobind_ROOT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    find_package(nanobind CONFIG QUIET)
    if(NOT nanobind_FOUND)
      set(_missing "nanobind in the packages of ${Python_EXECUTABLE}")
    endif()
  else()
    set(_missing "the headers of a Python from 3.10 on (Debian: python3-dev)")
  endif()
else()
  set(_missing ".venv-python")
endif()

if(NOT _missing)
  set(DEADRAY_PACKAGE ON)
  # Its modules are shared libraries, made of the same static ones as the programs. A function of
  # ours is never replaced by one of the same name elsewhere, so calls may be inlined as before.
  set(CMAKE_POSITION_INDEPENDENT_CODE ON)
  add_compile_options($<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fno-semantic-interposition>)
elseif(DEADRAY_PACKAGE STREQUAL AUTO)
  message(STATUS "The Python package is left out: no ${_missing}; scripts/setup --python brings it")
  set(DEADRAY_PACKAGE OFF)
else()
  message(FATAL_ERROR "The Python package: missing: ${_missing}; run scripts/setup --python, or "
    "leave it out with -DDEADRAY_PACKAGE=OFF")
endif()
