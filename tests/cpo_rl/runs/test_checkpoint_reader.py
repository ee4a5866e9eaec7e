# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The one way from a checkpoint file to what it holds."""

from __future__ import annotations

import hashlib

import pytest
import torch

from cpo_rl.errors import UserError
from cpo_rl.runs.checkpoint_manifest import CheckpointManifest, manifest_path
from cpo_rl.runs.checkpoint_reader import read_checkpoint
from cpo_rl.runs.checkpoints import write_checkpoint
from cpo_rl.runs.payload import to_bytes

IDENTITY = {"task": "T", "num_policies": 6}


@pytest.fixture
def ours(tmp_path):
    payload = {"model": {"w": torch.ones(2)}, "iter": 5, "format": 1, "infos": None, "runner": {"identity": IDENTITY}}
    write_checkpoint(tmp_path / "model_5.pt", to_bytes(payload), CheckpointManifest(5, config={"seed": 3}))
    return tmp_path / "model_5.pt"


def test_payload_sidecar_and_checksum_come_together(ours):
    read = read_checkpoint(ours)
    assert torch.equal(read.payload["model"]["w"], torch.ones(2)) and read.payload["iter"] == 5
    assert read.manifest is not None and read.manifest.config == {"seed": 3}
    assert read.sha256 == hashlib.sha256(ours.read_bytes()).hexdigest() == read.manifest.sha256
    assert read.name == "checkpoint 'model_5.pt'"
    assert read.check_identity(IDENTITY) == []
    with pytest.raises(UserError, match=r"checkpoint .model_5.pt. was trained with task 'T' instead of 'U'"):
        read.check_identity({**IDENTITY, "task": "U"})
    assert read.check_identity({**IDENTITY, "task": "U"}, force=True) == ["task 'T' instead of 'U'"]


def test_a_file_of_rsl_rls_runner_is_brought_to_todays_format(tmp_path):
    torch.save({"model_state_dict": {}, "iter": 4, "infos": None}, tmp_path / "model_4.pt")
    read = read_checkpoint(tmp_path / "model_4.pt")
    assert (read.payload["iter"], read.payload["format"], read.manifest, dict(read.runner)) == (5, 1, None, {})
    assert read.check_identity(IDENTITY) == []
    with pytest.raises(UserError, match="missing or damaged"):
        read_checkpoint(tmp_path / "model_4.pt", unchecked=False)


def test_what_cannot_be_read_is_one_sentence(ours):
    with pytest.raises(UserError, match=r"'model_9.pt' cannot be read"):
        read_checkpoint(ours.with_name("model_9.pt"))
    with pytest.raises(UserError, match="cannot be read"):
        read_checkpoint(ours.parent)
    data = bytearray(ours.read_bytes())
    data[-1] ^= 1
    ours.write_bytes(bytes(data))
    with pytest.raises(UserError, match="its checksum differs"):
        read_checkpoint(ours)
    manifest_path(ours).write_text("{")
    with pytest.raises(UserError, match="missing or damaged"):
        read_checkpoint(ours)


def test_a_runner_part_that_is_none_is_refused(tmp_path):
    (tmp_path / "model_1.pt").write_bytes(to_bytes({"iter": 1, "format": 1, "runner": [1, 2]}))
    with pytest.raises(UserError, match="'runner' is no dictionary"):
        read_checkpoint(tmp_path / "model_1.pt")
