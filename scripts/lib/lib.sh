# shellcheck shell=bash disable=SC2034
# What the commands in scripts/ share: `source "$(dirname -- "${BASH_SOURCE[0]}")/lib/lib.sh"`.
# Leaves the command in the repository's root; $caller is the folder that it was called from.
set -euo pipefail
caller=$PWD
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
cd -- "$root"
# .venv holds what the C++ programs link and light tools, .venv-python what needs Python's torch.
venv=$root/.venv
python_venv=$root/.venv-python
python=$venv/bin/python
bin=$root/build/release/bin

note() { printf '%s\n' "$*" >&2; }
fail() {
  note "scripts/$(basename -- "$0"): $*"
  exit "${code:-1}"
}

# print_help: the comment at the head of the command that was called.
print_help() { sed -n '1d; /^#/!q; s/^# \{0,1\}//p' "$root/scripts/$(basename -- "$0")"; }

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

# build PRESET [TARGET...]: configures and builds, with two jobs.
# DEADRAY_CMAKE_ARGS is handed to the configuration; DEADRAY_JOBS is another number of jobs.
build() {
  local preset=$1 options=() target
  shift
  command -v ccache >/dev/null && options+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  # Without these ccache keeps nothing that was compiled with a precompiled header.
  export CCACHE_SLOPPINESS=${CCACHE_SLOPPINESS:-pch_defines,time_macros}
  # shellcheck disable=SC2206  # several arguments in one variable, on purpose
  options+=(${DEADRAY_CMAKE_ARGS:-})
  quietly "build/$preset.configure.log" cmake --preset "$preset" "${options[@]}" ||
    fail "the $preset preset does not configure"
  local command=(cmake --build --preset "$preset" --parallel "${DEADRAY_JOBS:-2}")
  for target in "$@"; do command+=(--target "$target"); done
  note "building the $preset preset (log: build/$preset.build.log) …"
  quietly "build/$preset.build.log" "${command[@]}" || fail "the $preset preset does not build"
}

# environment_of NAME: the virtual environment of the packages in scripts/requirements/NAME.txt.
environment_of() {
  case $1 in
    python | calibration) printf '%s\n' "$python_venv" ;;
    *) printf '%s\n' "$venv" ;;
  esac
}

# site_packages PYTHON: the folders of packages that it sees.
site_packages() {
  "$1" -c 'import sys; print(*(p for p in sys.path if p.endswith("-packages")), sep="\n")'
}

# make_venv FOLDER [BASE]: a virtual environment, unless it is there. It sees what the environment
# BASE sees too, so that nothing of that is fetched twice.
make_venv() {
  local folder=$1 base=${2:-} advice="install with: sudo apt-get install python3-venv"
  "$folder/bin/python" -c '' 2>/dev/null && return 0
  command -v python3 >/dev/null || code=6 fail "missing: python3; $advice"
  rm -rf -- "$folder"
  quietly build/setup-venv.log python3 -m venv "$folder" ||
    code=6 fail "python3 -m venv does not work; $advice"
  [[ -z $base ]] || site_packages "$base/bin/python" \
    >"$(site_packages "$folder/bin/python")/deadray_base.pth"
}

# need_deadray: sets $deadray to the light program, and builds it where it is not there.
need_deadray() {
  deadray=${DEADRAY:-$bin/deadray}
  [[ ! -x $deadray ]] || return 0
  scripts/setup
  build release deadray
}

# run_python SCRIPT ARGUMENTS...: becomes scripts/lib/SCRIPT in its virtual environment.
# Needs the packages that `scripts/setup --python` installs, or `scripts/setup --$extra`.
run_python() {
  local environment extra=${extra:-python}
  environment=$(environment_of "$extra")
  [[ -e $environment/.deadray-$extra ]] ||
    code=6 fail "Python packages are missing: run scripts/setup --$extra"
  cd -- "$caller"
  exec "$environment/bin/python" "$root/scripts/lib/$1" "${@:2}"
}

# run_bare_python SCRIPT ARGUMENTS...: the same with any Python and its standard library alone.
run_bare_python() {
  command -v python3 >/dev/null || code=6 fail "missing: python3"
  cd -- "$caller"
  exec python3 "$root/scripts/lib/$1" "${@:2}"
}
