# A room is a folder of the source tree and the target of the same name: host/formats is
# deadray::host_formats. Dependencies go one way, from a room to those that it USES and on to
# those that these use.
#
# The build enforces it. A room's headers are seen only through its door, a folder
# build/…/doors/host_formats that holds one link, host/formats. A target's include path has the
# doors of the rooms that it may use, so that an #include of any other room does not compile.
# The sources of the CUDA module are the exception: they see all of kernels/ through one door
# (kernels/CMakeLists.txt), and only the test Rooms checks their arrows.
#
#   deadray_room(host/formats USES host/base SOURCES dtype.cpp npy.cpp …
#     [LIBRARIES …]          what its headers need besides, for every user
#     [PRIVATE_LIBRARIES …]  what its sources need
#     [HEAVY])               its sources see libtorch: they share one precompiled header
set(DEADRAY_DOORS ${PROJECT_BINARY_DIR}/doors)

# deadray_door(host/formats result): the include directory that shows this folder alone.
function(deadray_door folder result)
  string(REPLACE / _ name ${folder})
  get_filename_component(parent ${DEADRAY_DOORS}/${name}/${folder} DIRECTORY)
  file(MAKE_DIRECTORY ${parent})
  file(CREATE_LINK ${PROJECT_SOURCE_DIR}/${folder} ${DEADRAY_DOORS}/${name}/${folder} SYMBOLIC)
  set(${result} ${DEADRAY_DOORS}/${name} PARENT_SCOPE)
endfunction()

function(deadray_room room)
  cmake_parse_arguments(arg "HEAVY" "" "USES;SOURCES;LIBRARIES;PRIVATE_LIBRARIES" ${ARGN})
  string(REPLACE / _ name ${room})
  set(target deadray_${name})
  string(REPLACE / _ uses "${arg_USES}")
  list(TRANSFORM uses PREPEND deadray::)
  deadray_door(${room} door)
  if(arg_SOURCES)
    add_library(${target} STATIC ${arg_SOURCES})
    target_include_directories(${target} PUBLIC ${door})
    target_link_libraries(${target} PUBLIC ${uses} ${arg_LIBRARIES}
      PRIVATE ${arg_PRIVATE_LIBRARIES} deadray::warnings)
  else()
    add_library(${target} INTERFACE)
    target_include_directories(${target} INTERFACE ${door})
    target_link_libraries(${target} INTERFACE ${uses} ${arg_LIBRARIES})
  endif()
  add_library(deadray::${name} ALIAS ${target})
  if(arg_HEAVY)
    deadray_share_precompiled_headers(${target})
  endif()
  set_property(GLOBAL APPEND PROPERTY DEADRAY_ROOMS ${room})
  set_property(GLOBAL PROPERTY DEADRAY_USES_${name} "${arg_USES}")
endfunction()

# ccache keeps what is compiled with precompiled headers only if the compiler names them in its
# output, and CCACHE_SLOPPINESS allows it, see scripts/lib/lib.sh.
function(deadray_name_precompiled_headers target)
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fpch-preprocess>)
  # A header that was precompiled with -fPIC serves nothing that is compiled with -fPIE.
  get_target_property(type ${target} TYPE)
  if(CMAKE_POSITION_INDEPENDENT_CODE AND type STREQUAL EXECUTABLE)
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fPIC>)
  endif()
endfunction()

# The first heavy target compiles the headers, the others reuse them.
function(deadray_share_precompiled_headers target)
  deadray_name_precompiled_headers(${target})
  get_property(first GLOBAL PROPERTY DEADRAY_PRECOMPILED)
  if(first)
    target_precompile_headers(${target} REUSE_FROM ${first})
  else()
    target_precompile_headers(${target} PRIVATE <ATen/ATen.h> <fmt/format.h>)
    set_property(GLOBAL PROPERTY DEADRAY_PRECOMPILED ${target})
  endif()
endfunction()

# Writes rooms.json into the build folder: each room, what it uses, and with which flags its headers
# compile. The tests of the rooms and scripts/lint read it. Called once, after all rooms.
function(deadray_write_rooms)
  get_property(rooms GLOBAL PROPERTY DEADRAY_ROOMS)
  set(entries "")
  foreach(room IN LISTS rooms)
    string(REPLACE / _ name ${room})
    get_property(uses GLOBAL PROPERTY DEADRAY_USES_${name})
    list(JOIN uses "\", \"" uses)
    if(uses)
      set(uses "\"${uses}\"")
    endif()
    set(entry "  {\"room\": \"${room}\", \"uses\": [${uses}]")
    foreach(key INCLUDE_DIRECTORIES SYSTEM_INCLUDE_DIRECTORIES COMPILE_DEFINITIONS COMPILE_OPTIONS)
      set(values "$<TARGET_PROPERTY:deadray_${name},INTERFACE_${key}>")
      string(TOLOWER ${key} lower)
      string(APPEND entry
        ",\n   \"${lower}\": [$<$<BOOL:${values}>:\"$<JOIN:${values},\", \">\">]")
    endforeach()
    list(APPEND entries "${entry}}")
  endforeach()
  list(JOIN entries ",\n" entries)
  file(GENERATE OUTPUT ${PROJECT_BINARY_DIR}/rooms.json
    CONTENT "{\"source\": \"${PROJECT_SOURCE_DIR}\", \"rooms\": [\n${entries}\n]}\n")
endfunction()
