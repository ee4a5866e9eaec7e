# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Older formats load, newer ones are refused, and rsl_rl's own runner opens ours."""

from __future__ import annotations

import pytest
import torch
from rsl_rl.runners import OnPolicyRunner
from tests.cpo_rl.runners.support import differing, make_runner
from tests.cpo_rl.runs.fixtures.make_fixtures import FIXTURES, ITERATIONS, fixture_cfg, fixture_env, unpack

from cpo_rl.errors import UserError
from cpo_rl.runs.checkpoint_manifest import FORMAT, CheckpointManifest
from cpo_rl.runs.checkpoints import write_checkpoint
from cpo_rl.runs.migrate import MIGRATIONS, migrate
from cpo_rl.runs.payload import from_bytes, to_bytes

STORED = sorted(file.name.removesuffix(".gz") for file in FIXTURES.glob("*.pt.gz"))


def test_every_format_so_far_has_a_stored_file():
    assert [name.split("_")[1].split(".")[0] for name in STORED] == [str(i) for i in range(FORMAT + 1)]
    assert len(MIGRATIONS) == FORMAT
    assert all(file.stat().st_size < 50_000 for file in FIXTURES.iterdir())


@pytest.mark.parametrize("name", STORED)
def test_a_stored_checkpoint_of_every_format_loads_and_trains_on(tmp_path, name):
    path = unpack(name, tmp_path / f"model_{ITERATIONS}.pt")
    if (FIXTURES / name.replace(".pt", ".json.gz")).exists():
        unpack(name.replace(".pt", ".json"), path.with_suffix(".json"))
    stored = from_bytes(path.read_bytes())
    runner = make_runner(fixture_cfg(), tmp_path / "run", env=fixture_env())
    runner.load(str(path))
    assert runner.completed_iterations == ITERATIONS
    assert differing(runner.alg.save()["model"], stored["model"]) == []
    runner.learn(1)
    assert (tmp_path / f"run/model_{ITERATIONS + 1}.pt").exists()
    text = (tmp_path / "run/run.log").read_text()
    assert ("is rsl_rl's own" in text) == name.startswith("format_0")


def test_migrating_counts_finished_iterations_and_leaves_the_original_alone():
    old = {"iter": 4, "infos": None, "model": {"w": torch.ones(1)}}
    new = migrate(old)
    assert (new["iter"], new["format"], new["runner"]) == (5, FORMAT, None) and new["model"] is old["model"]
    assert old["iter"] == 4 and "format" not in old
    assert migrate(new) == new


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"iter": "3"},
        {"iter": None},
        {"iter": 1, "format": "1"},
        {"iter": 1, "format": -1},
        {"iter": 1, "format": True},
    ],
)
def test_what_is_no_training_checkpoint_is_refused(payload):
    with pytest.raises(UserError, match=r"x\.pt lacks the entries"):
        migrate(payload, "x.pt")
    with pytest.raises(UserError, match=r"^checkpoint lacks"):
        migrate(payload)


def test_a_newer_format_is_refused_by_number():
    with pytest.raises(UserError, match=rf"x\.pt has format {FORMAT + 1}; this version reads up to {FORMAT}"):
        migrate({"iter": 1, "format": FORMAT + 1}, "x.pt")


def test_rsl_rls_runner_opens_and_continues_ours(tmp_path):
    ours = make_runner(fixture_cfg(), tmp_path / "run", env=fixture_env())
    ours.learn(2)
    stock = OnPolicyRunner(fixture_env(), fixture_cfg(), log_dir=str(tmp_path / "stock"))
    stock.load(str(tmp_path / "run/model_2.pt"))
    assert stock.current_learning_iteration == 2
    assert differing(stock.alg.save()["model"], ours.alg.save()["model"]) == []
    stock.learn(1)
    assert (tmp_path / "stock/model_2.pt").exists()  # named by index: the third iteration


def test_an_edited_checkpoint_is_refused_for_its_checksum(tmp_path):
    path = tmp_path / "model_1.pt"
    write_checkpoint(path, to_bytes({"iter": 1, "format": FORMAT}), CheckpointManifest(1))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(UserError, match="checksum differs"):
        make_runner(fixture_cfg(), env=fixture_env()).load(str(path))
