# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What engines print while they start is kept, shown on failure, and never lost when compiled code crashes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cpo_lab.cli import evaluate, play, rollouts
from cpo_lab.launch import chatter
from cpo_lab.launch.chatter import StartupOutput, startup_output
from cpo_lab.viewing.screen import Screen


def speak() -> None:
    """Print as Python, as compiled code that buffers, and as compiled code that does not, on both streams."""
    sys.stdout.write("from python\n")
    sys.stderr.write("from python, alarmed\n")
    ctypes.CDLL(None).puts(b"from a library")
    os.write(1, b"\xfffrom the kernel\n")
    os.write(2, b"alarm\n")


SAID = ("from python", "from python, alarmed", "from a library", "from the kernel", "alarm")


def test_what_is_printed_goes_to_the_log_and_the_screen_is_given_back(tmp_path, capfd):
    log = tmp_path / "run.log"
    log.write_text("before\n")
    with StartupOutput() as output:
        speak()
        output.release(log)
        sys.stdout.write("training\n")
    seen = capfd.readouterr()
    assert (seen.out, seen.err) == ("training\n", "")
    text = log.read_text(errors="replace")
    assert text.startswith("before\n-- printed while the engine started --\n") and text.endswith("-- end --\n")
    assert all(words in text for words in SAID)


def test_a_failure_shows_the_end_of_it(capfd):
    def start() -> None:
        with StartupOutput():
            sys.stdout.write("".join(f"line {n}\n" for n in range(100)))
            speak()
            raise ValueError("no such joint")

    with pytest.raises(ValueError, match="no such joint"):
        start()
    error = capfd.readouterr().err
    assert all(words in error for words in SAID)
    assert "line 99" in error and "line 50" not in error


def test_verbose_leaves_the_screen_alone(tmp_path, capfd):
    with StartupOutput(shown=True) as output:
        speak()
        output.release(tmp_path / "run.log")
    seen = capfd.readouterr()
    assert all(words in seen.out + seen.err for words in SAID)
    assert not (tmp_path / "run.log").exists()


@pytest.mark.parametrize("log", [None, "/proc/nothing/run.log", "/dev/full"])
def test_a_log_that_cannot_be_written_costs_the_lines_only(log, capfd):
    with StartupOutput() as output:
        speak()
        output.release(log and Path(log))
        sys.stdout.write("training\n")
    assert capfd.readouterr().out == "training\n"


def test_no_room_for_temporary_files_shows_everything(monkeypatch, capfd):
    def full():
        raise OSError("no space left")

    monkeypatch.setattr(chatter.tempfile, "TemporaryFile", full)
    with StartupOutput() as output:
        speak()
        output.release(None)
    assert "from python" in capfd.readouterr().out


def test_a_crash_of_compiled_code_is_reported_on_the_screen():
    program = """
import contextlib
import ctypes
from cpo_lab.launch.chatter import StartupOutput
with StartupOutput():
    ctypes.string_at(0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
    assert "Segmentation fault" in done.stderr


@pytest.mark.parametrize(
    ("physics", "viewers", "verbose", "isaacsim", "shown"),
    [
        ("ovphysx", [], False, True, False),
        ("ovphysx", [], True, False, True),
        ("isaacsim_physx", [], False, True, True),
        ("physx", [], False, False, False),
        ("newton_mjwarp", ["kit"], False, True, True),
    ],
)
def test_isaac_sim_is_always_shown_because_it_may_ask(monkeypatch, physics, viewers, verbose, isaacsim, shown):
    monkeypatch.setattr(chatter, "find_spec", lambda name: object() if isaacsim else None)
    resolved = types.SimpleNamespace(request=types.SimpleNamespace(physics=physics))
    assert startup_output(resolved, viewers, verbose=verbose)._shown == shown


class ReleasedError(Exception):
    """The start succeeded, and the command goes on."""


def released(*args: object, **kwargs: object) -> None:
    raise ReleasedError


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("starts", [True, False])
@pytest.mark.parametrize("command", ["play", "evaluate"])
def test_other_commands_show_it_when_asked_or_when_the_start_fails(command, starts, verbose, monkeypatch, capfd):
    @contextlib.contextmanager
    def engine(*args: object, **kwargs: object):
        speak()
        yield

    @contextlib.contextmanager
    def build(*args: object):
        if not starts:
            raise ValueError("no such joint")
        yield None

    module = {"play": play, "evaluate": evaluate}[command]
    monkeypatch.setattr(module, "simulation", engine)
    monkeypatch.setattr(module, "make_env", build)
    monkeypatch.setattr(play, "load_policy", released)
    monkeypatch.setattr(rollouts, "object_shapes", released)
    request = types.SimpleNamespace(physics="ovphysx", device="cpu")
    resolved = types.SimpleNamespace(
        request=request, env_cfg=types.SimpleNamespace(scene=types.SimpleNamespace(num_envs=6))
    )
    argv = ["--verbose"] if verbose else []
    args, _ = module._parser().read_with_settings(argv)
    studio: Any = types.SimpleNamespace(is_needed=False)
    start = {
        "play": lambda: play._play(resolved, Path("model_1.pt"), [0], studio, args, Screen(), Console()),
        "evaluate": lambda: evaluate._measure(args, Screen(), [resolved], [Path("run/model_1.pt")], [[0]], released),
    }[command]
    with pytest.raises(ReleasedError if starts else ValueError):
        start()
    seen = capfd.readouterr()
    shown = [words in seen.out + seen.err for words in SAID]
    assert all(shown) if verbose or not starts else not any(shown)
