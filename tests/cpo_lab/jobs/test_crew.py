# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Jobs that die, are refused, are stopped, or are somebody else's: what the crew makes of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from cpo_lab.jobs import crew
from cpo_lab.jobs.crew import Crew, View
from cpo_lab.jobs.job import Job, end_of
from cpo_lab.jobs.local import LocalLauncher
from cpo_lab.jobs.process import start_process
from cpo_lab.jobs.record import Record
from cpo_rl.errors import UserError
from cpo_rl.runs.lock import own_folder

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(crew, "LOOK_S", 0.02)
    monkeypatch.setattr(crew, "BUSY_LOOK_S", 0.05)


def shell(folder: Path, name: str, program: str) -> Job:
    return Job(name, ("sh", "-c", program), folder / name)


def make_crew(
    folder: Path, jobs: list[Job], *, at_once: int = 2, retries: int = 2, **options
) -> tuple[Crew, list[str]]:
    said: list[str] = []

    class Listening(Console):
        def print(self, *objects, **keywords):
            said.extend(map(str, objects))

    view = View(Listening(force_terminal=False), lambda turns: "", lambda turns: [])
    folder.mkdir(exist_ok=True)
    made = Crew(jobs, LocalLauncher(at_once, **options), Record(folder), retries=retries, view=view)
    return made, said


COUNT = "n=$(cat tries 2>/dev/null || echo 0); n=$((n+1)); echo $n > tries; "
"""Counts the tries of a job in its folder, into n."""


def counted(folder: Path, name: str, program: str) -> Job:
    return shell(folder, name, f"cd {folder / name}; {COUNT}{program}")


def tries(folder: Path, name: str) -> int:
    return int((folder / name / "tries").read_text())


@pytest.mark.parametrize(
    ("program", "expected", "told"),
    [
        ("exit 0", 1, None),
        ("kill -9 $$", 3, "was killed by SIGKILL, perhaps because memory ran out after 3 tries"),
        ("echo the motor fell off; exit 1", 3, "ended with status 1: the motor fell off after 3 tries"),
        ("echo 'no such task'; exit 2", 1, "was refused: no such task"),
        ("echo 'loss is nan'; exit 3", 1, "was stopped by the finite guard: loss is nan"),
        ("exit 143", 3, "was stopped by SIGTERM with a checkpoint after 3 tries"),
        ("[ $n = 2 ] || kill -9 $$", 2, None),
    ],
)
def test_what_died_is_tried_again_and_what_was_refused_is_not(tmp_path, program, expected, told):
    made, said = make_crew(tmp_path, [counted(tmp_path, "a", program), shell(tmp_path, "b", "exit 0")])
    assert made.run() == (1 if told else 0)
    assert tries(tmp_path, "a") == expected
    assert made.turns["b"].state == "done"
    if told:
        assert f"a {told}; what it printed is in {tmp_path / 'a'}." in said
    if expected > 1:
        assert any("it is started again (1 of 2)" in line for line in said)
    assert Record(tmp_path).starts("a") == expected


def test_no_retry_means_one_try(tmp_path):
    made, _ = make_crew(tmp_path, [counted(tmp_path, "a", "exit 1")], retries=0)
    assert made.run() == 1
    assert tries(tmp_path, "a") == 1


def test_at_most_so_many_run_at_once_and_devices_take_turns(tmp_path):
    program = (
        "import sys, time, pathlib; here = pathlib.Path(sys.argv[1]); (here / 'on').touch(); "
        "print(len(list(here.parent.glob('*/on'))), sys.argv[-1]); time.sleep(0.2); (here / 'on').unlink()"
    )
    jobs = [Job(n, (sys.executable, "-c", program, str(tmp_path / n)), tmp_path / n) for n in "abcde"]
    made, _ = make_crew(tmp_path, jobs, devices=["cuda:0", "cuda:1"])
    assert made.run() == 0
    printed = [(tmp_path / n / "output.log").read_text().split() for n in "abcde"]
    assert max(int(count) for count, _ in printed) <= 2
    devices = [device for _, device in printed]
    assert set(devices) == {"cuda:0", "cuda:1"}
    assert sorted(map(devices.count, set(devices))) == [2, 3]


def test_threads_reach_the_job(tmp_path):
    made, _ = make_crew(tmp_path, [shell(tmp_path, "a", "echo $OMP_NUM_THREADS")], threads=3)
    assert made.run() == 0
    assert (tmp_path / "a/output.log").read_text() == "3\n"


def test_a_folder_in_use_is_waited_for_and_not_started_twice(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", f"import sys, time; sys.path.insert(0, {str(ROOT / 'source/cpo_rl')!r})\n"
         f"from cpo_rl.runs.lock import own_folder\nlock = own_folder({str(tmp_path / 'a')!r})\n"
         "print('owned', flush=True); time.sleep(60)"], stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout.readline() == "owned\n"
    threading.Timer(0.5, holder.kill).start()
    made, said = make_crew(tmp_path, [counted(tmp_path, "a", "exit 0")])
    started = time.monotonic()
    assert made.run() == 0
    holder.wait()
    assert time.monotonic() - started > 0.3
    assert sum("a waits: " in line and f"is in use by process {holder.pid}" in line for line in said) == 1
    assert tries(tmp_path, "a") == 1


def test_a_complete_job_is_never_started(tmp_path):
    made, _ = make_crew(tmp_path, [counted(tmp_path, "a", "exit 0"), counted(tmp_path, "b", "exit 0")])
    made._is_complete = lambda job: job.name == "a"
    assert made.run() == 0
    assert not (tmp_path / "a/tries").exists()
    assert tries(tmp_path, "b") == 1


def signal_when(file: Path, *numbers: int) -> threading.Thread:
    def send() -> None:
        while not file.exists():
            time.sleep(0.01)
        for number in numbers:
            os.kill(os.getpid(), number)
            time.sleep(0.3)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_stop_signal_is_passed_on_and_nothing_new_starts(tmp_path, number):
    name = signal.Signals(number).name.removeprefix("SIG")
    saves = f"trap 'touch saved; exit {128 + number}' {name}; touch ready; while :; do sleep 0.05; done"
    made, said = make_crew(tmp_path, [counted(tmp_path, n, saves) for n in "abc"])
    sender = signal_when(tmp_path / "a/ready", number)
    assert made.run() == 128 + number
    sender.join()
    assert (tmp_path / "a/saved").exists() and (tmp_path / "b/tries").exists()
    assert not (tmp_path / "c/tries").exists()
    assert "Stopping; every run saves first. Once more to end at once." in said
    assert signal.getsignal(number) != made._stop


def test_a_second_signal_ends_at_once(tmp_path):
    stubborn = "trap '' INT TERM; touch ready; while :; do sleep 0.05; done"
    made, _ = make_crew(tmp_path, [counted(tmp_path, "a", stubborn)])
    sender = signal_when(tmp_path / "a/ready", signal.SIGINT, signal.SIGINT)
    assert made.run() == 130
    sender.join()


def test_a_job_that_fails_while_it_stops_is_told(tmp_path):
    fails = "trap 'echo the disk is full; exit 1' INT; touch ready; while :; do sleep 0.05; done"
    made, _ = make_crew(tmp_path, [counted(tmp_path, "a", fails)])
    sender = signal_when(tmp_path / "a/ready", signal.SIGINT)
    assert made.run() == 1
    sender.join()
    assert made.turns["a"].end.reason == "ended with status 1: the disk is full"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of others does not tell a child of its parent's end")
def test_a_job_whose_starter_is_killed_is_asked_to_save(tmp_path):
    program = (
        f"import sys, time; sys.path[:0] = {[str(ROOT / 'exts/cpo_lab'), str(ROOT / 'source/cpo_rl')]!r}\n"
        "from pathlib import Path; from cpo_lab.jobs.job import Job; from cpo_lab.jobs.process import start_process\n"
        f"start_process(Job('a', ('sh', '-c', 'trap \"touch saved; exit\" TERM; cd {tmp_path}; touch ready; "
        f"while :; do sleep 0.05; done'), Path({str(tmp_path)!r}))); time.sleep(60)"
    )
    starter = subprocess.Popen([sys.executable, "-c", program])
    end = time.monotonic() + 30
    while not (tmp_path / "ready").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    starter.kill()
    starter.wait()
    while not (tmp_path / "saved").exists():
        assert time.monotonic() < end, "nobody told the job"
        time.sleep(0.02)


def test_the_warning_of_a_scheduler_does_not_kill_a_job(tmp_path):
    process = start_process(shell(tmp_path, "a", "kill -USR2 $$; exit 0"))
    assert process.wait(timeout=10) == 0


def test_a_damaged_record_is_named_and_not_overwritten(tmp_path):
    (tmp_path / "jobs.json").write_text('{"jobs": {"a": {"starts": 3}}}')
    with pytest.raises(UserError, match=r"jobs.json' cannot be read"):
        Record(tmp_path)


def test_the_record_tells_every_start_and_end(tmp_path):
    made, _ = make_crew(tmp_path, [counted(tmp_path, "a", "[ $n = 2 ] || exit 1")])
    assert made.run() == 0
    entry = json.loads((tmp_path / "jobs.json").read_text())["jobs"]["a"]
    assert [start["launcher"] for start in entry["starts"]] == ["local", "local"]
    assert [end["code"] for end in entry["ends"]] == [1, 0]
    assert Record(tmp_path).known_as("a", "local") is None


def test_an_unwatched_end_keeps_starts_and_ends_in_pairs(tmp_path):
    record = Record(tmp_path)
    record.note_start("a", "slurm", "7_0")
    assert Record(tmp_path).known_as("a", "slurm") == "7_0"
    assert Record(tmp_path).known_as("a", "local") is None
    record.note_start("a", "slurm", "8")
    record.note_end("a", 0, "")
    assert Record(tmp_path).known_as("a", "slurm") is None
    assert Record(tmp_path).starts("a") == 2


def test_an_end_without_a_word_says_so(tmp_path):
    assert end_of(Job("a", (), tmp_path), 1).reason == "ended with status 1: it printed nothing"
    assert end_of(Job("a", (), tmp_path), -signal.SIGSEGV).reason == "was killed by SIGSEGV"


def test_owning_a_folder_for_a_look_leaves_it_free(tmp_path):
    made, _ = make_crew(tmp_path, [counted(tmp_path, "a", "exit 0")])
    assert made.run() == 0
    own_folder(tmp_path / "a").close()
