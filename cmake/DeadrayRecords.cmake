# deadray_write_records_header(OUTPUT header ROSTER file FIXTURES index.json RESULTS files…)
# writes what has been verified for each family and for each model of the roster, as C++ tables for
# `deadray models`. They are made from the records themselves: nothing is listed by hand.

# The worst of a record's verdicts: refuted, undetermined, confirmed, absent.
function(_deadray_verdict record result)
  string(JSON n LENGTH "${record}" sites)
  math(EXPR last "${n} - 1")
  set(found "")
  foreach(i RANGE ${last})
    string(JSON verdict GET "${record}" sites ${i} verdict)
    list(APPEND found ${verdict})
  endforeach()
  foreach(verdict refuted undetermined confirmed absent)
    if(verdict IN_LIST found)
      set(${result} ${verdict} PARENT_SCOPE)
      return()
    endif()
  endforeach()
endfunction()

# Reads a record. Text travels as a quoted argument: CMake's lists know ; and [ ] only where nothing
# is quoted.
function(_deadray_read_record file name family init verdict)
  file(READ ${file} record)
  string(JSON schema ERROR_VARIABLE error GET "${record}" schema)
  if(error OR NOT schema STREQUAL "deadray/verify/1")
    message(FATAL_ERROR "${file}: not a record deadray/verify/1 (${error}); remove it, or make it "
      "again with deadray suite")
  endif()
  foreach(key name family init)
    string(JSON value GET "${record}" model ${key})
    set(${${key}} ${value} PARENT_SCOPE)
  endforeach()
  _deadray_verdict("${record}" value)
  set(${verdict} ${value} PARENT_SCOPE)
endfunction()

function(deadray_write_records_header)
  cmake_parse_arguments(arg "" "OUTPUT;ROSTER;FIXTURES" "RESULTS" ${ARGN})
  set(records "")
  foreach(file IN LISTS arg_RESULTS)
    _deadray_read_record(${file} name family init verdict)
    string(APPEND records "    {\"${name}\", \"${family}\", \"${init}\", \"${verdict}\"},\n")
  endforeach()

  set(fixtures "")
  set(families "")
  if(EXISTS ${arg_FIXTURES})
    file(READ ${arg_FIXTURES} index)
    # One parse for each of a hundred entries would take seconds.
    string(REGEX MATCHALL "\"family\": *\"[^\"]+\"" entries "${index}")
    foreach(entry IN LISTS entries)
      string(REGEX REPLACE ".*\"([^\"]+)\"$" "\\1" family "${entry}")
      list(APPEND families ${family})
    endforeach()
    set(each ${families})
    list(REMOVE_DUPLICATES each)
    foreach(family IN LISTS each)
      set(of_family ${families})
      list(FILTER of_family INCLUDE REGEX "^${family}$")
      list(LENGTH of_family n)
      string(APPEND fixtures "    {\"${family}\", ${n}},\n")
    endforeach()
  endif()

  file(READ ${arg_ROSTER} roster)
  string(JSON note GET "${roster}" note)
  string(JSON n LENGTH "${roster}" models)
  math(EXPR last "${n} - 1")
  set(models "")
  foreach(i RANGE ${last})
    foreach(key name hf_id norm parameters)
      string(JSON ${key} GET "${roster}" models ${i} ${key})
    endforeach()
    string(JSON family GET "${roster}" models ${i} config model_type)
    string(JSON config GET "${roster}" models ${i} config)
    string(REGEX REPLACE "[ \n]+" " " config "${config}")
    string(APPEND models "    {\"${name}\", \"${family}\", \"${hf_id}\", \"${norm}\", "
      "${parameters}, R\"(${config})\"},\n")
  endforeach()

  file(CONFIGURE OUTPUT ${arg_OUTPUT} @ONLY CONTENT [=[
// Made at configuration from the roster, the fixtures' index and results/*.json
// (cmake/DeadrayRecords.cmake).
#pragma once

#include "host/command/known_records.h"

namespace deadray {

inline constexpr const char* kRosterNote = R"(@note@)";
inline constexpr std::array kRosterModels = std::to_array<RosterModel>({
@models@});
inline constexpr FixtureCount kFixtureCounts[] = {
@fixtures@    {"", 0}};
inline constexpr ModelRecord kModelRecords[] = {
@records@    {"", "", "", ""}};

}  // namespace deadray
]=])
endfunction()
