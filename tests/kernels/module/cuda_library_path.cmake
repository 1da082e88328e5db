# With copies of the libraries in LD_LIBRARY_PATH, as a toolkit has them there, MODULE still loads
# those beside CUBLAS, which it was linked with.
get_filename_component(folder ${CUBLAS} DIRECTORY)
file(GLOB libraries ${folder}/libcublas.so.13 ${folder}/libcublasLt.so.13
  ${folder}/libcusolver.so.12 ${folder}/libcusparse.so.12 ${folder}/libnvJitLink.so.13)
set(others ${CMAKE_CURRENT_BINARY_DIR}/cuda_library_path)
file(MAKE_DIRECTORY ${others})
foreach(library IN LISTS libraries)
  get_filename_component(name ${library} NAME)
  file(CREATE_LINK ${library} ${others}/${name} SYMBOLIC)
endforeach()
execute_process(COMMAND ${CMAKE_COMMAND} -E env LD_LIBRARY_PATH=${others} ldd ${MODULE}
  OUTPUT_VARIABLE found ERROR_VARIABLE error RESULT_VARIABLE result)
file(REMOVE_RECURSE ${others})
if(NOT result EQUAL 0)
  message(FATAL_ERROR "ldd ${MODULE}: ${error}")
endif()
string(FIND "${found}" "${others}/" place)
if(NOT place EQUAL -1)
  message(FATAL_ERROR "LD_LIBRARY_PATH decides, expected the libraries in ${folder}: ${found}")
endif()
