# cmake -DSOURCE=repository -DWORK=folder -P known_models_file.cmake
# The file that `deadray models` reads says what roster, fixtures and records say.
cmake_minimum_required(VERSION 3.25)
include(${SOURCE}/cmake/DeadrayRecords.cmake)

# expect(value path…): what the file holds at this path.
function(expect value)
  string(JSON found ERROR_VARIABLE error GET "${written}" ${ARGN})
  if(error OR NOT found STREQUAL value)
    message(SEND_ERROR "'${found}' at ${ARGN} (${error}), expected '${value}' in:\n${written}")
  endif()
endfunction()

function(expect_length n)
  string(JSON found LENGTH "${written}" ${ARGN})
  if(NOT found EQUAL n)
    message(SEND_ERROR "${found} entries at ${ARGN}, expected ${n} in:\n${written}")
  endif()
endfunction()

file(REMOVE_RECURSE ${WORK})
file(WRITE ${WORK}/roster.json [=[{"note": "ours; [a \"list\"]", "models": [
  {"name": "a", "hf_id": "org/a", "norm": "layernorm", "parameters": 35000000000,
   "config": {"model_type": "gpt2"}}]}
]=])
file(WRITE ${WORK}/index.json [=[[{"name": "x", "family": "gpt2", "about": "[1; 2]"},
  {"name": "y", "family": "bert"}, {"name": "z", "family": "gpt2"}]]=])

deadray_write_known_models(OUTPUT ${WORK}/none.json
  ROSTER ${WORK}/roster.json FIXTURES ${WORK}/index.json)
file(READ ${WORK}/none.json written)
expect("ours; [a \"list\"]" roster note)
expect(35000000000 roster models 0 parameters)
expect(gpt2 roster models 0 config model_type)
expect(2 fixtures gpt2)
expect(1 fixtures bert)
expect_length(0 records)

# A record's verdict is the worst of its norms.
foreach(init_and_verdict "random;absent" "checkpoint;undetermined")
  list(GET init_and_verdict 0 init)
  list(GET init_and_verdict 1 verdict)
  file(WRITE ${WORK}/a.${init}.json "{\"schema\": \"deadray/verify/1\",
    \"model\": {\"name\": \"a\", \"family\": \"gpt2\", \"init\": \"${init}\"},
    \"notes\": [\"x; [y\"], \"sites\": [{\"verdict\": \"absent\"}, {\"verdict\": \"${verdict}\"}]}")
endforeach()
deadray_write_known_models(OUTPUT ${WORK}/two.json
  ROSTER ${WORK}/roster.json FIXTURES ${WORK}/no-index.json
  RESULTS ${WORK}/a.random.json ${WORK}/a.checkpoint.json)
file(READ ${WORK}/two.json written)
expect_length(0 fixtures)
expect_length(2 records)
expect(a records 0 name)
expect(gpt2 records 0 family)
expect(random records 0 init)
expect(absent records 0 verdict)
expect(checkpoint records 1 init)
expect(undetermined records 1 verdict)
