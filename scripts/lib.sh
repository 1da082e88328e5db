# shellcheck shell=bash disable=SC2034
# Shared by the scripts beside it: `source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"`. Leaves the caller in the repository's root.
set -euo pipefail
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
cd -- "$root"
venv=$root/.venv
python=$venv/bin/python
bin=$root/build/release/bin

note() { printf '%s\n' "$*" >&2; }
fail() { printf '%s: %s\n' "scripts/$(basename -- "$0")" "$*" >&2; exit "${code:-1}"; }

# quietly LOG COMMAND...: output goes to LOG, and to the terminal only when COMMAND fails.
quietly() {
  local log=$1 status=0
  shift
  mkdir -p -- "$(dirname -- "$log")"
  "$@" >"$log" 2>&1 </dev/null || status=$?
  if ((status)); then
    tail -n 40 -- "$log" >&2
    note "failed (exit $status): $*"
    note "the whole log: $log"
  fi
  return "$status"
}

# build PRESET [TARGET...]: configure and build with two jobs. DEADRAY_CMAKE_ARGS is handed to the configuration, DEADRAY_JOBS overrides the jobs.
build() {
  local preset=$1 options=() target
  shift
  command -v ccache >/dev/null && options+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  # shellcheck disable=SC2206  # several arguments in one variable, on purpose
  options+=(${DEADRAY_CMAKE_ARGS:-})
  quietly "build/$preset.configure.log" cmake --preset "$preset" "${options[@]}" || fail "the $preset preset does not configure"
  local targets=()
  for target in "$@"; do targets+=(--target "$target"); done
  note "building the $preset preset (log: build/$preset.build.log) …"
  quietly "build/$preset.build.log" cmake --build --preset "$preset" --parallel "${DEADRAY_JOBS:-2}" "${targets[@]}" || fail "the $preset preset does not build"
}

# run_python SCRIPT ARGUMENTS...: in the virtual environment, which `scripts/setup --python`, or --$extra, completes.
run_python() {
  [[ -e $venv/.deadray-${extra:=python} ]] || fail "Python packages are missing: run scripts/setup --$extra"
  exec "$python" "$root/scripts/$1" "${@:2}"
}
