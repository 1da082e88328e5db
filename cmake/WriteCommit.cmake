# cmake -DSOURCE=folder -DOUTPUT=header -P WriteCommit.cmake: writes the commit that is built, with
# "-dirty" where files differ from it. Where there is no repository it takes scripts/bundle's note.
# The header is written only when it changes, so that nothing is compiled in vain.
set(git git -C ${SOURCE})
execute_process(COMMAND ${git} rev-parse HEAD
  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE no_repository)
if(no_repository)
  set(commit unknown)
  if(EXISTS ${SOURCE}/.bundle/commit)
    file(STRINGS ${SOURCE}/.bundle/commit commit LIMIT_COUNT 1)
  endif()
else()
  execute_process(COMMAND ${git} status --porcelain --untracked-files=no
    OUTPUT_VARIABLE changed ERROR_QUIET)
  if(changed)
    string(APPEND commit -dirty)
  endif()
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "#define DEADRAY_COMMIT \"@commit@\"\n" @ONLY)
