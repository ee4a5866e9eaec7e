#!/usr/bin/env bash
# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause
#
# Sets up .venv on first use, then runs the project's commands in it. "./cpo_lab.sh" alone explains them.
# Environment: PYTHON=/path/to/python3.12 chooses the interpreter, CPO_LAB_VENV=/path another place for the environment.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
VENV=${CPO_LAB_VENV:-$ROOT/.venv}
STAMP=$VENV/.cpo_lab_ready
EXTRAS=test,video
PYTHON_WANTED=3.12
DISK_WANTED_GB=12

say() { printf '[cpo_lab] %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 2
}

usage() {
    cat <<'HELP'
CPO Lab: ensemble policies for dexterous hands in Isaac Lab.

  ./cpo_lab.sh train               train CPO with six policies on the Shadow Hand (GPU if there is one, else CPU)
  ./cpo_lab.sh play --checkpoint latest --picture hand.png
                                   render what the last run has learned, without a screen or a GPU
  ./cpo_lab.sh list                tasks, agents and physics engines
  ./cpo_lab.sh doctor              check this machine and say how to fix what is missing
  ./cpo_lab.sh test [pytest args]  run the tests: first the learning library, then everything with a simulator
  ./cpo_lab.sh check               lint, format and types of the code, as the gate checks them
  ./cpo_lab.sh docs                build the documentation as a site in site/ (warnings are errors)
  ./cpo_lab.sh setup               only install
  ./cpo_lab.sh <command> --help    options and examples of a command

The first call creates .venv and installs Isaac Lab into it: about 10 minutes and 9 GB, mostly downloads.
It needs Python 3.12 (PYTHON=/path/to/python3.12 chooses one). Later calls start at once.
HELP
}

# --- finding Python -------------------------------------------------------------------------------------------------

# Prints "ok", "no-venv" (right version, but it cannot create environments) or nothing.
probe_python() {
    "$1" -c "
import sys
if '%d.%d' % sys.version_info[:2] == '$PYTHON_WANTED':
    try:
        import ensurepip, venv
        print('ok')
    except ImportError:
        print('no-venv')
" 2>/dev/null </dev/null || true
}

# Candidate interpreters, best first, one per line: PATH, pyenv, uv.
python_candidates() {
    type -ap "python$PYTHON_WANTED" python3 python 2>/dev/null || true
    local pyenv_root=${PYENV_ROOT:-${HOME:-/nonexistent}/.pyenv} version
    for version in $(ls -1 "$pyenv_root/versions" 2>/dev/null | grep "^${PYTHON_WANTED/./\\.}\(\.\|\$\)" | sort -rV || true); do
        echo "$pyenv_root/versions/$version/bin/python"
    done
    if command -v uv >/dev/null 2>&1; then
        uv python find "$PYTHON_WANTED" 2>/dev/null || true
    fi
}

find_python() {
    local candidate without_venv=""
    if [[ -n ${PYTHON:-} ]]; then
        case $(probe_python "$PYTHON") in
            ok) echo "$PYTHON" && return ;;
            no-venv) die "PYTHON=$PYTHON cannot create environments: install its venv module (Debian: apt-get install python$PYTHON_WANTED-venv)." ;;
            *) die "PYTHON=$PYTHON is not a Python $PYTHON_WANTED: point it at one, or leave PYTHON unset to have one searched." ;;
        esac
    fi
    while IFS= read -r candidate; do
        case $(probe_python "$candidate") in
            ok) echo "$candidate" && return ;;
            no-venv) without_venv=$candidate ;;
        esac
    done < <(python_candidates)
    if [[ -n $without_venv ]]; then
        die "$without_venv cannot create environments: install its venv module (Debian, Ubuntu: apt-get install python$PYTHON_WANTED-venv)."
    fi
    die "No Python $PYTHON_WANTED found on PATH, in pyenv or in uv: install one (apt-get install python$PYTHON_WANTED-venv, pyenv install $PYTHON_WANTED or uv python install $PYTHON_WANTED), or set PYTHON=/path/to/python$PYTHON_WANTED."
}

# --- setting up -----------------------------------------------------------------------------------------------------

# What the environment was installed from: changes when a requirement, a pin, an entry point or the place does.
fingerprint() {
    (cd "$ROOT" && echo "$ROOT $EXTRAS" && cat setup.py pyproject.toml constraints.txt exts/cpo_lab/config/extension.toml) |
        cksum
}

is_ready() { [[ -x $VENV/bin/python && -x $VENV/bin/cpo-lab && -f $STAMP && $(<"$STAMP") == "$(fingerprint)" ]]; }

# Only one process may install. The lock is released by the kernel when its holder ends, however it ends.
with_lock() {
    mkdir -p "$(dirname "$VENV")"
    if ! command -v flock >/dev/null 2>&1; then
        "$@"
        return
    fi
    (
        if ! flock -n 9; then
            say "Another process is setting up $VENV; waiting for it."
            flock 9
        fi
        "$@"
    ) 9>"$VENV.lock"
}

check_disk() {
    local free_kb
    free_kb=$(df -Pk "$(dirname "$VENV")" | awk 'NR == 2 { print $4 }')
    if [[ ${free_kb:-0} -gt 0 && $free_kb -lt $((DISK_WANTED_GB * 1024 * 1024)) ]]; then
        say "Only $((free_kb / 1024 / 1024)) GB are free in $(dirname "$VENV"); the installation needs about $DISK_WANTED_GB GB."
    fi
}

# An install that was cut off leaves packages whose files are incomplete but whose metadata pip believes. pip writes
# INSTALLER last, so metadata without it is removed here and pip installs that package again.
drop_unfinished_packages() {
    "$VENV/bin/python" - <<'PY'
import pathlib, shutil, sysconfig
site = pathlib.Path(sysconfig.get_path("purelib"))
for info in [*site.glob("*.dist-info"), *site.glob("~*")]:
    if info.name.startswith("~") or not (info / "INSTALLER").exists():
        print(f"[cpo_lab] Removing unfinished {info.name}")
        shutil.rmtree(info, ignore_errors=True)
PY
}

# pip shows progress bars only on a terminal; in a log file this tells that it is alive.
heartbeat() {
    while sleep 30 </dev/null >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
        say "Still installing: $(du -sm "$VENV" 2>/dev/null | cut -f1) of about 9000 MB in place."
    done
}

make_environment() {
    local version
    if [[ -x $VENV/bin/python ]] && version=$("$VENV/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null); then
        [[ $version == "$PYTHON_WANTED" ]] ||
            die "$VENV holds Python $version but Python $PYTHON_WANTED is needed: remove that folder, or set CPO_LAB_VENV to another place."
        "$VENV/bin/python" -m pip --version >/dev/null 2>&1 && return
    fi
    local python
    python=$(find_python) || exit $?
    say "Creating $VENV with $python."
    "$python" -m venv --clear "$VENV"
}

install_environment() {
    if is_ready; then return; fi # another process did it while this one waited
    make_environment
    rm -f "$STAMP"
    say "Installing Isaac Lab, PhysX, Newton, PyTorch and this project (first time: about 10 minutes and 9 GB)."
    check_disk
    drop_unfinished_packages
    local pip=("$VENV/bin/python" -m pip --disable-pip-version-check) beat="" status=0 started=$SECONDS
    if [[ ! -t 1 ]]; then
        heartbeat 9>&- &
        beat=$!
    fi
    {
        "${pip[@]}" install --quiet -c "$ROOT/constraints.txt" "pip>=25.1" "setuptools>=77" &&
            (cd "$ROOT" && "${pip[@]}" install --no-build-isolation -c constraints.txt -e ".[$EXTRAS]") &&
            "$VENV/bin/python" -c "import cpo_lab, cpo_rl"
    } || status=$?
    if [[ -n $beat ]]; then
        kill "$beat" 2>/dev/null || true
        wait "$beat" 2>/dev/null || true
    fi
    [[ $status == 0 ]] || die "The installation did not finish; the lines above say why. Running the same command again continues it."
    fingerprint >"$STAMP.new"
    mv "$STAMP.new" "$STAMP"
    say "Installed in $((SECONDS - started)) s."
}

setup() {
    if is_ready; then return; fi
    with_lock install_environment
}

# --- testing --------------------------------------------------------------------------------------------------------

# The learning library first: it needs no simulator and fails within a minute. Explicit paths are run as they are.
run_tests() {
    local argument library=0 rest=0
    local pytest=("$VENV/bin/python" -m pytest)
    cd "$ROOT"
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
    for argument in "$@"; do
        if [[ -e ${argument%%::*} ]]; then exec "${pytest[@]}" "$@"; fi
    done
    # one worker per core; a file's tests stay together, because they share what is costly to set up
    local workers=(-n logical --dist loadfile)
    say "Learning library (no simulator)"
    "${pytest[@]}" tests/cpo_rl "${workers[@]}" -m "not slow and not long" "$@" || library=$?
    say "Training, processes, tasks, commands and simulators"
    "${pytest[@]}" tests "${workers[@]}" -m "not slow and (long or not library)" "$@" || rest=$?
    # 5 means that a selection such as -k matched nothing in one of the halves.
    [[ $library == 5 && $rest == 5 ]] && return 5
    [[ ($library == 0 || $library == 5) && ($rest == 0 || $rest == 5) ]] || return 1
}

# What the gate asks of the code itself; also the hooks of .pre-commit-config.yaml.
run_checks() {
    local status=0
    cd "$ROOT"
    "$VENV/bin/ruff" check . || status=1
    "$VENV/bin/ruff" format --check . || status=1
    "$VENV/bin/mypy" || status=1
    return $status
}

# The site of mkdocs.yml. What builds it is installed when it is first asked for: training needs none of it.
build_docs() {
    cd "$ROOT"
    "$VENV/bin/python" -c "import mkdocs, mkdocstrings_handlers.python, latex2mathml" 2>/dev/null ||
        "$VENV/bin/python" -m pip --disable-pip-version-check install --quiet --no-build-isolation -c constraints.txt -e ".[docs]" ||
        die "What builds the documentation could not be installed; the lines above say why."
    NO_MKDOCS_2_WARNING=1 "$VENV/bin/python" -m mkdocs build --quiet "$@" || return 1
    say "Built $ROOT/site/index.html."
}

main() {
    case ${1:-help} in
        help | -h | --help) usage ;;
        setup)
            setup
            say "Ready: $VENV"
            ;;
        test)
            setup
            shift
            run_tests "$@"
            ;;
        check)
            setup
            run_checks
            ;;
        docs)
            setup
            shift
            build_docs "$@"
            ;;
        *)
            setup
            exec "$VENV/bin/cpo-lab" "$@"
            ;;
    esac
}

# Sourced by its tests, run by everybody else.
if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    main "$@"
fi
