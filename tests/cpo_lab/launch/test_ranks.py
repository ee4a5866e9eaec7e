# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import pytest
import torch

from cpo_lab.cli import main
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
