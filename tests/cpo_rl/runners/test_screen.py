# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Standard output that fails, closes or cannot encode costs lines and nothing else."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from cpo_rl.screen import ForgivingStream, forgiving_output, lost_output

FULL = Path("/dev/full")
SOURCE = Path(__file__).parents[3] / "source/cpo_rl"


class Failing(io.StringIO):
    """A stream that fails in one way as long as it is told to."""

    def __init__(self, error):
        super().__init__()
        self.failure = error

    def write(self, text):
        if self.failure is not None:
            raise self.failure
        return super().write(text)

    def flush(self):
        if self.failure is not None:
            raise self.failure


ERRORS = [OSError(28, "No space left on device"), BrokenPipeError(32, "Broken pipe"), ValueError("I/O on closed file")]


@pytest.mark.parametrize("error", ERRORS, ids=["full", "gone", "closed"])
def test_lines_are_lost_told_once_and_come_back(error, caplog):
    inner = Failing(error)
    stream = ForgivingStream(inner, "standard output")
    with caplog.at_level(logging.WARNING):
        assert stream.write("one\n") == 4
        stream.flush()
        stream.writelines(["two\n", "three\n"])
        print("four", file=stream)
        inner.failure = None
        Console(file=stream).print("five")
    assert inner.getvalue() == "five\n"
    assert [record.message for record in caplog.records if "lines are lost" in record.message] == [
        f"standard output could not be written ({error.strerror if isinstance(error, OSError) else error}); "
        "lines are lost, nothing else."
    ]
    assert stream.failed is (not isinstance(error, BrokenPipeError))


def test_letters_that_a_terminal_lacks_become_question_marks():
    raw = io.BytesIO()
    stream = ForgivingStream(io.TextIOWrapper(raw, encoding="ascii"), "standard output")
    stream.write("iteration 1 · 2 –\n")
    stream.flush()
    assert raw.getvalue() == b"iteration 1 ? 2 ?\n" and stream.error is None
    assert stream.encoding == "ascii"


def test_the_context_is_entered_once_and_leaves_no_trace(monkeypatch):
    out, err = Failing(None), Failing(None)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with forgiving_output():
        first = sys.stdout
        with forgiving_output():
            assert sys.stdout is first
        assert sys.stdout is first and lost_output() == []
        out.failure = ERRORS[0]
        sys.stdout.write("lost\n")
        sys.stdout.flush()
        assert lost_output() == [first]
    assert sys.stdout is out and sys.stderr is err


def test_a_closed_standard_output_reads_as_none_and_is_no_error(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with forgiving_output():
        sys.stdout.write("nowhere")
    assert sys.stdout is None


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_lost_lines_leave_no_open_files():
    with FULL.open("w") as full:
        stream = ForgivingStream(full, "standard output")
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            stream.write("line\n")
            stream.flush()
        assert stream.failed and len(os.listdir("/proc/self/fd")) == before


PROGRAM = (
    "import sys, logging; from cpo_rl.screen import forgiving_output\n"
    "with forgiving_output():\n"
    "    for i in range(3): print('line', i, '·' * 5000, flush=True)\n"
    "    open(sys.argv[1], 'w').write('went on')\n"
    "sys.exit(7)"
)


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-", ">&- 2>&- <&-", "| true", "2>/dev/full"])
@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_program_goes_on_and_ends_with_its_own_status(tmp_path, redirection):
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONIOENCODING": "ascii"}
    command = f'set -o pipefail; "$0" -c "$1" "$2" {redirection}'
    done = subprocess.run(
        ["bash", "-c", command, sys.executable, PROGRAM, str(tmp_path / "file")], env=environment, capture_output=True
    )
    assert done.returncode == 7, done.stderr
    assert (tmp_path / "file").read_text() == "went on" and b"Traceback" not in done.stderr
