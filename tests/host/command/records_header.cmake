# cmake -DSOURCE=repository -DWORK=folder -P records_header.cmake: the header of `deadray models`
# says what roster, fixtures and records say.
cmake_minimum_required(VERSION 3.25)
include(${SOURCE}/cmake/DeadrayRecords.cmake)
file(REMOVE_RECURSE ${WORK})
file(WRITE ${WORK}/roster.json [=[{"note": "ours; [a list]", "models": [
  {"name": "a", "hf_id": "org/a", "norm": "layernorm", "parameters": 35000000000,
   "config": {"model_type": "gpt2"}}]}]=])
file(WRITE ${WORK}/index.json [=[[{"name": "x", "family": "gpt2", "about": "[1; 2]"},
  {"name": "y", "family": "bert"}, {"name": "z", "family": "gpt2"}]]=])

# expect(TEXT IN header)
function(expect)
  foreach(part IN LISTS ARGN)
    string(FIND "${header}" "${part}" at)
    if(at EQUAL -1)
      message(SEND_ERROR "no '${part}' in:\n${header}")
    endif()
  endforeach()
endfunction()
function(expect_none part)
  string(FIND "${header}" "${part}" at)
  if(NOT at EQUAL -1)
    message(SEND_ERROR "'${part}' in:\n${header}")
  endif()
endfunction()

deadray_write_records_header(OUTPUT ${WORK}/none.h ROSTER ${WORK}/roster.json
  FIXTURES ${WORK}/index.json)
file(READ ${WORK}/none.h header)
expect([=[{"a", "gpt2", "org/a", "layernorm", 35000000000, R"({ "model_type" : "gpt2" })"}]=]
  [=[{"gpt2", 2}]=] [=[{"bert", 1}]=])
expect_none("confirmed")

foreach(case "random;absent" "checkpoint;undetermined")
  list(GET case 0 init)
  list(GET case 1 verdict)
  file(WRITE ${WORK}/a.${init}.json "{\"schema\": \"deadray/verify/1\",
    \"model\": {\"name\": \"a\", \"family\": \"gpt2\", \"init\": \"${init}\"},
    \"notes\": [\"x; [y\"], \"sites\": [{\"verdict\": \"absent\"}, {\"verdict\": \"${verdict}\"}]}")
endforeach()
deadray_write_records_header(OUTPUT ${WORK}/two.h ROSTER ${WORK}/roster.json
  FIXTURES ${WORK}/no-index.json
  RESULTS ${WORK}/a.random.json ${WORK}/a.checkpoint.json)
file(READ ${WORK}/two.h header)
expect([=[{"a", "gpt2", "random", "absent"}]=] [=[{"a", "gpt2", "checkpoint", "undetermined"}]=])
expect_none([=[{"bert"]=])
string(FIND "${header}" "R\"(ours; [a list])\"" at)
if(at EQUAL -1)
  message(SEND_ERROR "the note is not whole in:\n${header}")
endif()
