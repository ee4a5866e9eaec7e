# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The folder a run is written into: continued, refused, or moved aside by name; never cut, never mixed."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
from pathlib import Path

import pytest

from cpo_lab.cli import main, train
from cpo_lab.launch.run_place import Beginning, RunPlace, choose_place, find_beginning
from cpo_rl.errors import UserError
from cpo_rl.runs.checkpoint_manifest import CheckpointManifest
from cpo_rl.runs.checkpoints import write_checkpoint
from cpo_rl.runs.folder import RunFolder
from cpo_rl.runs.lock import own_folder

TASK = "CpoLab-Reorient-Cube-Shadow-Direct"
ROWS = "iteration,env_steps,wall_clock_s\n1,2,3\n"


@pytest.fixture
def started(monkeypatch, tmp_path) -> list[train.Plan]:
    """The runs that would have been started, in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    plans: list[train.Plan] = []
    monkeypatch.setattr(train, "_train", lambda plan: plans.append(plan) or 0)
    return plans


def add_checkpoint(folder: Path, iteration: int, **fields) -> Path:
    path = folder / f"model_{iteration}.pt"
    known = {"identity": {"task": TASK, "num_policies": 6}, **fields}
    write_checkpoint(path, b"weights", CheckpointManifest(iteration, **known))
    return path


def make_run(folder: Path, *iterations: int, **fields) -> Path:
    """A run of CPO on the Shadow Hand with the default seed, which ended after its last checkpoint."""
    known = {"task": TASK, "algorithm": "cpo", "physics": "ovphysx", "seed": 42, "num_policies": 6}
    run = RunFolder.create(folder, **{**known, "iteration": max(iterations, default=0), **fields})
    launch = {"task": TASK, "agent": "cpo", "device": "cpu", "physics": run.manifest["physics"], "overrides": []}
    run.write_launch({**launch, "seed": run.manifest["seed"], "iterations": 100})
    for iteration in iterations:
        add_checkpoint(folder, iteration)
    return run.path


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and file.name != ".lock"
    }


def auto(folder: Path, **options):
    return find_beginning("auto", str(folder), "logs", None, may_move=False, **options)


# -- what --resume auto finds ------------------------------------------------------------------------------------------


def test_auto_in_a_folder_says_what_it_found(tmp_path):
    assert auto(tmp_path / "new").found == f"found no run in {tmp_path / 'new'} and starts a new one"
    (tmp_path / "slurm.log").write_text("starting")  # not a run's
    assert auto(tmp_path).checkpoint is None
    RunFolder.create(tmp_path / "begun")
    (tmp_path / "begun/metrics.csv").write_text(ROWS.split("\n")[0] + "\n")
    assert "without a finished iteration" in auto(tmp_path / "begun").found
    folder = make_run(tmp_path / "run", 10, 20)
    assert auto(folder).checkpoint == folder / "model_20.pt"
    assert auto(folder).found == f"found {folder / 'model_20.pt'}"


TRAINED = {
    "metrics.csv": ROWS,
    "diagnostics.jsonl": '{"iteration": 1}\n',
    "dump_4.pt": "x",
    "manifest.json": '{"format": 1, "iteration": 3}',
    "published": None,
}


@pytest.mark.parametrize("name", [*TRAINED, "a damaged checkpoint", "a checkpoint cut off"])
def test_what_cannot_be_continued_is_an_error_and_no_new_start(tmp_path, name, started, capsys):
    folder = tmp_path / "job"
    folder.mkdir()
    if name.startswith("a "):
        add_checkpoint(folder, 4).write_bytes(b"weight5" if name.startswith("a damaged") else b"wei")
    elif TRAINED[name] is None:
        (folder / name).mkdir()
        (folder / name / "state_4.json").write_text("{}")
    else:
        (folder / name).write_text(TRAINED[name])
    before = content(folder)
    command = ["train", "--log_dir", str(folder), "--resume", "auto", "--device", "cpu"]
    assert main(command) == 2
    sentence = capsys.readouterr().err
    assert "cannot continue" in sentence and "--move_aside" in sentence and sentence.count("\n") == 1
    assert content(folder) == before and not started
    assert main([*command, "--move_aside"]) == 0
    (aside,) = tmp_path.glob("job.aside-*")
    assert content(aside) == before and content(folder) == {}
    told = capsys.readouterr().out
    assert "moves them aside" in told.splitlines()[0] and str(aside) in told


def test_auto_below_a_folder_of_runs(tmp_path, started, capsys):
    command = ["train", "--resume", "auto", "--device", "cpu", "--log_root", str(tmp_path / "logs")]
    assert main(command) == 0
    assert "--resume auto found no run in" in capsys.readouterr().out
    (tmp_path / "logs/x/old").mkdir(parents=True)
    (tmp_path / "logs/x/old/metrics.csv").write_text(ROWS)
    assert main(command) == 2
    assert "holds no complete checkpoint" in capsys.readouterr().err
    folder = make_run(tmp_path / "logs/x/run", 20)
    assert main(command) == 0
    assert f"--resume auto found {folder / 'model_20.pt'}, the newest of all, and continues it." in (
        capsys.readouterr().out
    )
    assert started[-1].log_dir == folder and started[-1].place.continues
    assert main([*command, "--seed", "7"]) == 0
    assert "the newest of all, and goes on from it in a folder of its own." in capsys.readouterr().out


def test_auto_with_nothing_left_to_do_says_so(tmp_path, started, capsys):
    folder = make_run(tmp_path / "run", 20)
    command = ["train", "--resume", "auto", "--log_dir", str(folder), "--device", "cpu", "--iterations", "20"]
    assert main(command) == 0
    assert "has all 20 iterations: nothing to do" in capsys.readouterr().out and not started


# -- which folder ------------------------------------------------------------------------------------------------------


def test_a_named_folder_with_records_is_refused_or_moved_aside(tmp_path, started, capsys):
    folder = make_run(tmp_path / "run", 10)
    before = content(folder)
    command = ["train", "--log_dir", str(folder), "--device", "cpu"]
    assert main(command) == 2
    assert "--resume auto" in capsys.readouterr().err and content(folder) == before
    assert main([*command, "--move_aside"]) == 0
    (aside,) = tmp_path.glob("run.aside-*")
    assert content(aside) == before and started[0].log_dir == folder and not started[0].place.continues


def test_move_aside_needs_a_named_folder(tmp_path, started, capsys):
    assert main(["train", "--move_aside"]) == 2
    assert "--log_dir" in capsys.readouterr().err


def test_another_run_is_not_continued_in_a_folder_with_records(tmp_path, started, capsys):
    base, folder = make_run(tmp_path / "base", 50), make_run(tmp_path / "run", 10)
    command = ["train", "--resume", str(base), "--log_dir", str(folder), "--device", "cpu"]
    assert main(command) == 2
    assert "holds records of a run" in capsys.readouterr().err
    assert main([*command[:-3], str(tmp_path / "new"), "--device", "cpu"]) == 0
    (plan,) = started
    assert (plan.log_dir, plan.place.continues) == (tmp_path / "new", False)


def test_a_start_that_fails_leaves_no_empty_folder(tmp_path, monkeypatch, capsys):
    def fail(plan):
        assert plan.log_dir.is_dir()
        raise UserError("no such viewer")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "_train", fail)
    assert main(["train", "--device", "cpu"]) == 2
    assert main(["train", "--device", "cpu", "--log_dir", "mine"]) == 2
    assert not (tmp_path / "mine").exists() and not list((tmp_path / "logs").glob("*/*/*"))


def test_a_folder_that_changed_until_it_was_free_is_looked_at_again(tmp_path, started, monkeypatch):
    """The process that trained there saved one more checkpoint before it gave the folder back."""
    folder = make_run(tmp_path / "run", 10)
    own = RunPlace.own

    def own_later(place):
        if not (folder / "model_20.pt").exists():
            add_checkpoint(folder, 20)
        return own(place)

    monkeypatch.setattr(RunPlace, "own", own_later)
    assert main(["train", "--resume", "auto", "--log_dir", str(folder), "--device", "cpu"]) == 0
    (plan,) = started
    assert plan.checkpoint == folder / "model_20.pt"


@pytest.mark.parametrize("selector", ["auto", "latest", "the folder"])
def test_a_folder_that_changes_during_the_plan_is_looked_at_again(tmp_path, started, monkeypatch, selector):
    """As above, but the checkpoint appears after the newest one was chosen and before the folder was."""
    folder = make_run(tmp_path / "run", 10)

    def choose_later(*args, **kwargs):
        if not (folder / "model_20.pt").exists():
            add_checkpoint(folder, 20)
        return choose_place(*args, **kwargs)

    monkeypatch.setattr(train, "choose_place", choose_later)
    what = str(folder) if selector == "the folder" else selector
    assert main(["train", "--resume", what, "--log_dir", str(folder), "--device", "cpu"]) == 0
    (plan,) = started
    assert plan.checkpoint == folder / "model_20.pt" and plan.place.continues


def test_ranks_other_than_the_first_look_at_nothing_that_it_may_have_written(tmp_path, monkeypatch):
    folder = make_run(tmp_path / "run", 10)
    new = RunPlace(None, tmp_path, "x")
    with pytest.raises(UserError, match="holds records"):
        choose_place(Beginning(), [], folder, new, may_move=False)
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "1"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    place = choose_place(Beginning(), [], folder, new, may_move=False)
    assert place.folder == folder and not place.moves_aside and not place.has_changed
    with pytest.raises(UserError, match="name it with --log_dir"):
        choose_place(Beginning(), [], None, new, may_move=False)


# -- another run -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--seed", "7"], "its seed is 42, not 7"),
        (["--agent", "sapg"], "its algorithm is cpo, not sapg"),
        (["--physics", "newton_mjwarp"], "its physics is ovphysx, not newton_mjwarp"),
        (["physics=newton_mjwarp"], "its physics is ovphysx, not newton_mjwarp"),
    ],
)
def test_what_becomes_another_run_gets_a_folder_of_its_own(tmp_path, started, capsys, arguments, told):
    folder = make_run(tmp_path / "run", 10)
    before = content(folder)
    assert main(["train", "--resume", str(folder), "--device", "cpu", *arguments]) == 0
    (plan,) = started
    assert plan.log_dir.parent.parent == tmp_path / "logs/rsl_rl" and plan.place.reasons == [told]
    assert plan.checkpoint == folder / "model_10.pt" and content(folder) == before
    assert told in capsys.readouterr().out
    assert main(["train", "--resume", "auto", "--log_dir", str(folder), "--device", "cpu", *arguments]) == 2
    assert told in capsys.readouterr().err and content(folder) == before


def test_the_same_values_given_again_make_no_other_run(tmp_path, started):
    folder = make_run(tmp_path / "run", 10)
    same = ["--seed", "42", "--agent", "cpo", "--physics", "ovphysx", "--num_policies", "6", "--task", TASK]
    assert main(["train", "--resume", str(folder), "--device", "cpu", *same]) == 0
    assert started[0].log_dir == folder and started[0].place.reasons == []


def test_the_number_of_policies_cannot_change(tmp_path, started, capsys):
    folder = make_run(tmp_path / "run", 10)
    assert main(["train", "--resume", str(folder), "--device", "cpu", "--num_policies", "3"]) == 2
    assert "holds 6 policies" in capsys.readouterr().err


def test_an_older_checkpoint_starts_a_run_of_its_own(tmp_path, started, capsys):
    folder = make_run(tmp_path / "run", 10, 20)
    assert main(["train", "--resume", str(folder / "model_10.pt"), "--device", "cpu"]) == 0
    assert started[0].log_dir != folder and "not its run's newest" in capsys.readouterr().out


def test_old_manifests_without_a_class_are_continued_in_place(tmp_path, started):
    folder = make_run(tmp_path / "run", 10)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest.pop("algorithm_class", None)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert main(["train", "--resume", str(folder), "--device", "cpu"]) == 0
    assert started[0].log_dir == folder


# -- several processes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [0, 1])
def test_of_two_torchrun_starts_on_one_folder_the_second_writes_nothing(tmp_path, started, monkeypatch, capsys, rank):
    """Its first process is refused, which ends the others; they have made nothing until then."""
    for name, value in {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "run"
    with running_elsewhere(folder):
        before = content(folder)
        status = main(["train", "--task", TASK, "--device", "cpu", "--num_envs", "12", "--log_dir", str(folder)])
        assert content(folder) == before
    if rank == 0:
        assert status == 2 and "is in use by process" in capsys.readouterr().err and started == []
    else:
        assert status == 0 and [plan.log_dir for plan in started] == [folder]


@contextlib.contextmanager
def running_elsewhere(folder: Path):
    """Another process that owns a folder and has written nothing else yet."""
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()

    def own() -> None:
        with own_folder(folder):
            theirs.send("ready")
            theirs.recv()

    process = context.Process(target=own)
    process.start()
    assert mine.poll(30) and mine.recv() == "ready"
    yield
    mine.send("end")
    process.join()
