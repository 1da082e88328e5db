# deadray_find(NAME): a library that deadray is built on. It comes from the system, or else from the
# sources that scripts/bundle put into .bundle. A Python wheel is built with the headers that
# pyproject.toml requires from PyPI. Its targets are the library's own:
# nlohmann_json::nlohmann_json, CLI11::CLI11, GTest::gtest, GTest::gtest_main, benchmark::benchmark.
option(DEADRAY_BUNDLE_ONLY "Take libraries from .bundle even where the system has them" OFF)
set(_bundle ${PROJECT_SOURCE_DIR}/.bundle)

# deadray_pypi_folder(PATH result): that folder among the packages that pip builds with; "" where
# none has it.
function(deadray_pypi_folder path result)
  set(${result} "" PARENT_SCOPE)
  foreach(site IN LISTS CMAKE_PREFIX_PATH)  # from scikit-build-core
    if(EXISTS ${site}/${path})
      set(${result} ${site}/${path} PARENT_SCOPE)
      return()
    endif()
  endforeach()
endfunction()

# Compiles the sources as static libraries, only where a target links them: without their tests,
# their installation and our warnings.
function(_deadray_add_bundled folder targets)
  set(CMAKE_WARN_DEPRECATED OFF CACHE INTERNAL "")
  set(BUILD_SHARED_LIBS OFF)
  foreach(option BUILD_GMOCK INSTALL_GTEST BENCHMARK_ENABLE_TESTING BENCHMARK_ENABLE_INSTALL
      BENCHMARK_ENABLE_WERROR BENCHMARK_ENABLE_GTEST_TESTS BENCHMARK_INSTALL_DOCS)
    set(${option} OFF CACHE INTERNAL "")
  endforeach()
  add_subdirectory(${_bundle}/${folder} ${PROJECT_BINARY_DIR}/bundle/${folder}
    EXCLUDE_FROM_ALL SYSTEM)
  foreach(target ${targets})
    target_compile_options(${target} PRIVATE -w)
  endforeach()
endfunction()

function(_deadray_use_bundled name)
  if(name STREQUAL "nlohmann_json")
    set(folder nlohmann_json)
    set(headers nlohmann/json.hpp)
    set(target nlohmann_json::nlohmann_json)
  elseif(name STREQUAL "CLI11")
    set(folder cli11)
    set(headers CLI/CLI.hpp)
    set(target CLI11::CLI11)
  elseif(name STREQUAL "GTest")
    set(folder googletest)
    set(targets gtest gtest_main)
  elseif(name STREQUAL "benchmark")
    set(folder benchmark)
    set(targets benchmark)
  endif()
  if(NOT EXISTS ${_bundle}/${folder}/SOURCE)
    message(FATAL_ERROR "${name} is neither installed nor in .bundle; run scripts/setup, or "
      "scripts/bundle where there is a network and carry .bundle here")
  endif()
  message(STATUS "${name}: the sources in .bundle/${folder}")
  if(headers)
    _deadray_add_headers(${target} ${_bundle}/${folder}/include)
  else()
    _deadray_add_bundled(${folder} "${targets}")
  endif()
endfunction()

function(_deadray_add_headers target folder)
  add_library(${target} INTERFACE IMPORTED GLOBAL)
  target_include_directories(${target} SYSTEM INTERFACE ${folder})
endfunction()

function(deadray_find name)
  if(NOT DEADRAY_BUNDLE_ONLY)
    if(SKBUILD AND name STREQUAL "nlohmann_json")
      deadray_pypi_folder(nlohmann_json/include headers)
      if(headers)
        _deadray_add_headers(nlohmann_json::nlohmann_json ${headers})
        return()
      endif()
    endif()
    find_package(${name} QUIET GLOBAL)
    if(${name}_FOUND)
      return()
    endif()
  endif()
  _deadray_use_bundled(${name})
endfunction()
