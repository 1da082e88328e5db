# deadray::warnings carries the warnings of our own targets. Nothing of it reaches who links us.
add_library(deadray_warnings INTERFACE)
add_library(deadray::warnings ALIAS deadray_warnings)
target_compile_options(deadray_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wshadow;-Wnon-virtual-dtor;-Woverloaded-virtual>
  # GCC 12 sees overlapping copies and copies past the end in `"literal" + std::string` where there
  # are none (bug 105651).
  $<$<AND:$<COMPILE_LANG_AND_ID:CXX,GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict;-Wno-array-bounds>
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<BOOL:${DEADRAY_WERROR}>>:-Werror>)
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
