# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""cpo_lab.sh: finding Python, deciding whether to install, running commands. Nothing is downloaded."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = (
    "bash",
    "dirname",
    "cat",
    "cksum",
    "ls",
    "grep",
    "sort",
    "env",
    "mkdir",
    "flock",
    "df",
    "awk",
    "rm",
    "mv",
    "sleep",
    "du",
    "cut",
)


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def fake_python(path: Path, answer: str = "ok") -> Path:
    """An interpreter that gives the launcher's probe an answer: ok, no-venv or nothing."""
    return executable(path, f"echo {answer}" if answer else "exit 1")


@pytest.fixture
def machine(tmp_path):
    """A PATH with the tools the launcher uses and no Python, an empty home, and a copy of the launcher."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        if found:
            (tools / tool).symlink_to(found)
    project = tmp_path / "project"
    (project / "exts/cpo_lab/config").mkdir(parents=True)
    for name in ("cpo_lab.sh", "setup.py", "pyproject.toml", "constraints.txt", "exts/cpo_lab/config/extension.toml"):
        shutil.copy(ROOT / name, project / name)
    return tmp_path


def call(
    machine: Path, *arguments: str, script: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the launcher, or a piece of shell with its functions loaded."""
    variables = {"PATH": str(machine / "tools"), "HOME": str(machine / "home"), **environment}
    project = machine / "project"
    command = ["bash", "-c", f"source ./cpo_lab.sh; {script}"] if script else ["bash", "./cpo_lab.sh", *arguments]
    return subprocess.run(command, cwd=project, env=variables, capture_output=True, text=True, timeout=60)


def path_with(machine: Path, *folders: str) -> str:
    return os.pathsep.join([*(str(machine / folder) for folder in folders), str(machine / "tools")])


def test_help_needs_nothing(machine):
    for arguments in ((), ("--help",), ("help",)):
        done = call(machine, *arguments)
        assert done.returncode == 0
        assert "./cpo_lab.sh train" in done.stdout
    assert not (machine / "project/.venv").exists()


def test_no_python_is_one_clear_sentence(machine):
    done = call(machine, "setup")
    assert done.returncode == 2
    assert "No Python 3.12 found" in done.stderr
    assert "PYTHON=" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (machine / "project/.venv").exists()


def test_python_on_path(machine):
    expected = fake_python(machine / "bin/python3.12")
    assert call(machine, script="find_python", PATH=path_with(machine, "bin")).stdout.strip() == str(expected)


def test_wrong_version_first_on_path_is_passed_over(machine):
    fake_python(machine / "old/python3", answer="")
    expected = fake_python(machine / "new/python3")
    assert call(machine, script="find_python", PATH=path_with(machine, "old", "new")).stdout.strip() == str(expected)


def test_broken_shim_on_path_is_passed_over(machine):
    """pyenv puts python3.12 on PATH even when no such version is selected; running it fails."""
    executable(machine / "shims/python3.12", "echo 'pyenv: python3.12: command not found' >&2; exit 127")
    expected = fake_python(machine / "home/.pyenv/versions/3.12.7/bin/python")
    assert call(machine, script="find_python", PATH=path_with(machine, "shims")).stdout.strip() == str(expected)


def test_newest_pyenv_version_of_the_right_series(machine):
    for version in ("3.11.9", "3.12.4", "3.12.10", "3.13.0", "3.120.0"):
        fake_python(machine / f"home/.pyenv/versions/{version}/bin/python")
    assert call(machine, script="find_python").stdout.strip().endswith("/3.12.10/bin/python")


def test_pyenv_root(machine):
    fake_python(machine / "elsewhere/versions/3.12.1/bin/python")
    done = call(machine, script="find_python", PYENV_ROOT=str(machine / "elsewhere"))
    assert done.stdout.strip().endswith("elsewhere/versions/3.12.1/bin/python")


def test_python_of_uv(machine):
    expected = fake_python(machine / "uv-managed/bin/python3.12")
    executable(machine / "bin/uv", f'[[ "$*" == "python find 3.12" ]] && echo {expected}')
    assert call(machine, script="find_python", PATH=path_with(machine, "bin")).stdout.strip() == str(expected)


def test_python_variable_wins_and_is_checked(machine):
    fake_python(machine / "bin/python3.12")
    mine, wrong = fake_python(machine / "mine/python"), fake_python(machine / "wrong/python", answer="")
    path = path_with(machine, "bin")
    assert call(machine, script="find_python", PATH=path, PYTHON=str(mine)).stdout.strip() == str(mine)
    done = call(machine, script="find_python", PATH=path, PYTHON=str(wrong))
    assert done.returncode == 2
    assert "is not a Python 3.12" in done.stderr


def test_python_without_venv_module_says_what_to_install(machine):
    fake_python(machine / "bin/python3.12", answer="no-venv")
    done = call(machine, script="find_python", PATH=path_with(machine, "bin"))
    assert done.returncode == 2
    assert "python3.12-venv" in done.stderr


def test_probe_recognizes_this_interpreter(machine):
    import sys

    assert call(machine, script=f"probe_python '{sys.executable}'").stdout.strip() == "ok"


def installed(machine: Path) -> Path:
    """Make the launcher believe that everything is installed; returns the fake environment."""
    venv = machine / "project/.venv"
    executable(venv / "bin/python", 'echo "python $*"')
    executable(venv / "bin/cpo-lab", 'echo "cpo-lab $*"; exit 7')
    (venv / ".cpo_lab_ready").write_text(call(machine, script="fingerprint").stdout)
    return venv


def test_second_call_starts_at_once_and_passes_everything_on(machine):
    installed(machine)
    started = time.monotonic()
    done = call(machine, "train", "--run_name", "two words", "physics=ovphysx")
    assert time.monotonic() - started < 1.0
    assert done.stdout == "cpo-lab train --run_name two words physics=ovphysx\n"
    assert done.returncode == 7
    assert done.stderr == ""


@pytest.mark.parametrize(
    "changed", ["setup.py", "constraints.txt", "pyproject.toml", "exts/cpo_lab/config/extension.toml"]
)
def test_changed_requirements_install_again(machine, changed):
    installed(machine)
    assert call(machine, script="is_ready && echo ready").stdout == "ready\n"
    with (machine / "project" / changed).open("a") as file:
        file.write("\n# changed\n")
    assert call(machine, script="is_ready || echo again").stdout == "again\n"


def test_interrupted_install_is_not_ready(machine):
    venv = installed(machine)
    (venv / ".cpo_lab_ready").unlink()
    assert call(machine, script="is_ready || echo again").stdout == "again\n"


def test_environment_of_another_python_is_refused_not_deleted(machine):
    venv = installed(machine)
    executable(venv / "bin/python", "echo 3.11")
    (venv / ".cpo_lab_ready").unlink()
    done = call(machine, "setup")
    assert done.returncode == 2
    assert "holds Python 3.11" in done.stderr
    assert (venv / "bin/cpo-lab").exists()


def test_failed_install_leaves_no_stamp_and_says_how_to_go_on(machine):
    venv = machine / "project/.venv"
    answers = (
        '[[ "$1" == -c ]] && { echo 3.12; exit; }',
        '[[ "$*" == *"pip --version"* ]] && exit',
        '[[ "$*" != *install* ]]',
    )
    executable(venv / "bin/python", "\n".join(answers))
    done = call(machine, "setup")
    assert done.returncode == 2
    assert "Running the same command again continues it" in done.stderr
    assert not (venv / ".cpo_lab_ready").exists()


def test_unfinished_packages_are_removed(machine, tmp_path):
    import sys

    venv = machine / "project/.venv"
    site = tmp_path / "site"
    for name, complete in (("done-1.0.dist-info", True), ("cut_off-1.0.dist-info", False), ("~alf", False)):
        (site / name).mkdir(parents=True)
        if complete:
            (site / name / "INSTALLER").write_text("pip\n")
    (venv / "bin").mkdir(parents=True)
    redirected = f'import sysconfig, sys; sysconfig.get_path = lambda name: \\"{site}\\"; exec(sys.stdin.read())'
    program = f'exec {sys.executable} -c "{redirected}"'
    executable(venv / "bin/python", program)
    done = call(machine, script="drop_unfinished_packages")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in site.iterdir()) == ["done-1.0.dist-info"]


@pytest.mark.skipif(shutil.which("flock") is None, reason="needs flock")
def test_two_setups_take_turns(machine):
    """The second process waits until the first has finished, then finds everything done."""
    log = machine / "log"
    script = f"work() {{ echo in >> {log}; sleep 0.5; echo out >> {log}; }}; with_lock work"
    variables = {"PATH": str(machine / "tools"), "HOME": str(machine / "home")}
    command = ["bash", "-c", f"source ./cpo_lab.sh; {script}"]
    both = [
        subprocess.Popen(command, cwd=machine / "project", env=variables, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    messages = [process.communicate(timeout=30)[1] for process in both]
    assert log.read_text().split() == ["in", "out", "in", "out"]
    assert sum("waiting for it" in message for message in messages) == 1


def test_tests_run_the_library_first(machine):
    installed(machine)
    for folder in ("tests/cpo_rl", "tests/cpo_lab"):
        (machine / "project" / folder).mkdir(parents=True)
    done = call(machine, "test", "-q")
    assert done.stdout.splitlines() == [
        "python -m pytest tests/cpo_rl -n logical --dist loadfile -m not slow and not long -q",
        "python -m pytest tests -n logical --dist loadfile -m not slow and (long or not library) -q",
    ]
    done = call(machine, "test", "tests/cpo_lab", "-k", "cube")
    assert done.stdout.splitlines() == ["python -m pytest tests/cpo_lab -k cube"]


@pytest.mark.parametrize(
    ("library", "rest", "expected"), [(0, 0, 0), (1, 0, 1), (0, 1, 1), (5, 0, 0), (0, 5, 0), (5, 5, 5)]
)
def test_status_of_the_tests(machine, library, rest, expected):
    venv = installed(machine)
    executable(venv / "bin/python", f'[[ "$3" == tests/cpo_rl ]] && exit {library}; exit {rest}')
    assert call(machine, "test").returncode == expected


@pytest.mark.parametrize("failing", [None, "ruff", "mypy"])
def test_check_runs_every_tool_and_tells_a_failure(machine, failing):
    venv = machine / "project/.venv/bin"
    for tool in ("ruff", "mypy"):
        executable(venv / tool, f'echo "{tool} $*"; exit {int(tool == failing)}')
    done = call(machine, script="run_checks")
    assert done.stdout.splitlines() == ["ruff check .", "ruff format --check .", "mypy "]
    assert done.returncode == int(failing is not None)


def test_the_hooks_are_what_the_gate_checks():
    """A commit hook that checked something else than the gate would let through what the gate refuses."""
    import yaml

    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    entries = [re.sub(r" --force-exclude", "", hook["entry"]).removeprefix(".venv/bin/") for hook in hooks]
    checks = re.findall(r'"\$VENV/bin/(.+?)"( .*?)? \|\|', function_text("run_checks"))
    assert [f"{tool}{rest}".removesuffix(" .") for tool, rest in checks] == entries[:3]
    assert "./cpo_lab.sh check" in (ROOT / ".ci/run").read_text()


def function_text(name: str) -> str:
    """A function of the launcher."""
    match = re.search(rf"^{name}\(\) {{$.*?^}}$", (ROOT / "cpo_lab.sh").read_text(), re.M | re.S)
    assert match is not None
    return match[0]


@pytest.mark.parametrize(("has_tools", "builds"), [(True, True), (True, False), (False, True)])
def test_docs_installs_what_it_lacks_and_tells_a_failure(machine, has_tools, builds):
    python = 'case "$*" in *"import mkdocs"*) exit %d;; *"mkdocs build"*) echo "$*"; exit %d;; *) echo "$*";; esac'
    executable(machine / "project/.venv/bin/python", python % (not has_tools, not builds))
    done = call(machine, script="build_docs --site-dir elsewhere")
    installed = [line for line in done.stdout.splitlines() if "pip" in line]
    assert [line.endswith("-c constraints.txt -e .[docs]") for line in installed] == [True] * (not has_tools)
    assert done.stdout.splitlines()[-1] == "-m mkdocs build --quiet --site-dir elsewhere"
    assert done.returncode == int(not builds) and ("Built" in done.stderr) == builds
