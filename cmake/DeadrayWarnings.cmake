# deadray::warnings carries the warnings of our own targets. Nothing of it reaches who links us.
add_library(deadray_warnings INTERFACE)
add_library(deadray::warnings ALIAS deadray_warnings)
target_compile_options(deadray_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wshadow;-Wnon-virtual-dtor;-Woverloaded-virtual>
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<BOOL:${DEADRAY_WERROR}>>:-Werror>)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC 12 sees overlapping copies and copies past the end in `"literal" + std::string` where there
  # are none (bug 105651).
  target_compile_options(deadray_warnings INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict;-Wno-array-bounds>)
endif()
if(DEADRAY_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES Clang)
    message(FATAL_ERROR "DEADRAY_FUZZ needs clang with its libFuzzer: scripts/setup --fuzz")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)  # coverage, which guides libFuzzer
endif()
if(DEADRAY_SANITIZE)
  # GCC then calls values uninitialised that are not, in std::regex above all; its manual says so.
  add_compile_options($<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  add_compile_options(-fsanitize=${DEADRAY_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${DEADRAY_SANITIZE})
endif()
