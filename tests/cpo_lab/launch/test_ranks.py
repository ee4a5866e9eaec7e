# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cpo_lab.cli import main, train
from cpo_lab.launch.ranks import Rank
from cpo_rl.errors import UserError

SECOND = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}


def test_a_process_without_torchrun_is_alone():
    for environment in ({}, {"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"}, {"LOCAL_RANK": "3"}):
        rank = Rank.of_this_process(environment)
        assert rank == Rank(0, 0, 1)
        assert rank.is_first
        assert not rank.several
        assert rank.device("cuda:3") == "cuda:3"


def test_torchruns_variables_are_read():
    rank = Rank.of_this_process(SECOND)
    assert (rank.rank, rank.local_rank, rank.world_size) == (1, 1, 2)
    assert rank.several
    assert not rank.is_first


@pytest.mark.parametrize(
    "environment",
    [{"WORLD_SIZE": "2"}, {**SECOND, "RANK": "x"}, {**SECOND, "RANK": "2"}, {**SECOND, "LOCAL_RANK": "-1"}],
)
def test_contradictions_are_refused(environment):
    with pytest.raises(UserError, match="torchrun"):
        Rank.of_this_process(environment)


def test_every_process_takes_its_own_gpu(monkeypatch):
    rank = Rank.of_this_process(SECOND)
    assert rank.device("cpu") == "cpu"
    assert rank.device("cuda") == "cuda:1"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert rank.device(None) == "cuda:1"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert rank.device(None) is None
    with pytest.raises(UserError, match="one GPU for 2 processes"):
        rank.device("cuda:0")


def test_several_processes_need_a_folder(monkeypatch, capsys, tmp_path):
    for name, value in SECOND.items():
        monkeypatch.setenv(name, value)
    assert main(["train", "--device", "cpu", "--num_envs", "12", "--log_root", str(tmp_path)]) == 2
    assert "name it with --log_dir" in capsys.readouterr().err


ROOT = Path(__file__).parents[3]


def torchrun(node: int, port: int, folder: Path) -> subprocess.Popen:
    """Start one of two nodes on this machine, with two processes that make a run folder."""
    paths = os.pathsep.join(str(ROOT / part) for part in (".", "exts/cpo_lab", "source/cpo_rl"))
    command = [
        "-m", "torch.distributed.run", "--nnodes", "2", "--nproc_per_node", "2", "--rdzv_backend", "c10d",
        "--rdzv_endpoint", f"127.0.0.1:{port}", "--rdzv_id", "job", "--rdzv_conf", f"is_host={node == 0}",
        "-m", "tests.cpo_lab.launch.shared_folder_job", str(folder),
    ]  # fmt: skip
    return subprocess.Popen(
        [sys.executable, *command], env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT,
    )  # fmt: skip


@pytest.mark.long
def test_two_nodes_agree_on_a_new_folder(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nodes = [torchrun(node, port, tmp_path) for node in range(2)]
    said = [node.communicate(timeout=200)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], said
    found = [match for text in said for match in re.findall(r"rank (\d) has (.+)", text)]
    assert sorted(rank for rank, _ in found) == ["0", "1", "2", "3"]
    assert {Path(folder) for _, folder in found} == set((tmp_path / "x").iterdir())
    assert len(list((tmp_path / "x").iterdir())) == 1


def test_a_first_process_that_tells_nothing_is_no_traceback(monkeypatch):
    for name, value in {**SECOND, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("cpo_lab.launch.ranks.SHARE_S", 1.0)
    with pytest.raises(UserError, match=r"cannot agree on the run folder .*name it with --log_dir"):
        Rank.of_this_process().share("run folder")


def test_isaac_labs_ray_scripts_find_a_run(monkeypatch, capsys, tmp_path):
    """With the patterns of its scripts/reinforcement_learning/ray/util.py, applied to every line by itself."""
    monkeypatch.setattr(train, "_train", lambda plan: 0)
    assert main(["train", "--device", "cpu", "--log_root", str(tmp_path / ("long" * 30))]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    patterns = (
        r"\[INFO\] Logging experiment in directory: (.+)$", "Exact experiment name requested from command line: (.+)"
    )  # fmt: skip
    folder, name = (next(m[1] for line in lines if (m := re.search(pattern, line))) for pattern in patterns)
    [run_folder] = [line.split()[-1] for line in lines if line.startswith("run folder")]
    assert os.path.join(folder, name) == run_folder


def test_people_are_spared_the_lines_for_ray(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(train, "_train", lambda plan: 0)
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes the output for a terminal
    assert main(["train", "--device", "cpu", "--log_root", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "run folder" in shown and "Logging experiment" not in shown
