# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Write the stored checkpoint of the current format; run once per released version and commit the result.

From the project root: ``python -m tests.cpo_rl.runs.make_fixtures``. Existing files are left alone, because they
stand for what a released version wrote.
"""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import torch
from rsl_rl.runners import OnPolicyRunner
from tests.cpo_rl.runners.support import make_env, make_runner

from cpo_rl.runs.checkpoint_manifest import FORMAT

FIXTURES = Path(__file__).with_name("fixtures")
ITERATIONS = 3


def fixture_cfg() -> dict:
    """Return the smallest run that has every part: an ensemble, both optimizers, a discriminator."""
    return {
        "seed": 5,
        "num_steps_per_env": 4,
        "save_interval": 100,
        "progress": "off",
        "obs_groups": {"actor": ["policy"]},
        "model": {"hidden_dims": [4], "embedding_dim": 2},
        "algorithm": {
            "class_name": "cpo_rl.algorithms:EnsemblePPO",
            "num_policies": 2,
            "num_mini_batches": 1,
            "num_learning_epochs": 1,
            "discriminator_hidden_dims": [4],
        },
    }


def fixture_env():
    """Return the environment of the stored runs."""
    return make_env(num_envs=4)


def compress(source: Path, target: Path) -> None:
    """Copy a file, compressed."""
    target.write_bytes(gzip.compress(source.read_bytes(), mtime=0))


def unpack(name: str, target: Path) -> Path:
    """Write the stored file ``<name>.gz`` to ``target`` and return it."""
    target.write_bytes(gzip.decompress((FIXTURES / f"{name}.gz").read_bytes()))
    return target


def main() -> None:
    """Write what is missing."""
    FIXTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        stock = FIXTURES / "format_0_rsl_rl.pt.gz"
        if not stock.exists():
            torch.manual_seed(7)
            runner = OnPolicyRunner(fixture_env(), fixture_cfg(), log_dir=f"{folder}/stock")
            runner.learn(ITERATIONS)
            compress(Path(f"{folder}/stock/model_{ITERATIONS - 1}.pt"), stock)
        ours = FIXTURES / f"format_{FORMAT}.pt.gz"
        if not ours.exists():
            make_runner(fixture_cfg(), f"{folder}/ours", env=fixture_env()).learn(ITERATIONS)
            for suffix in ("pt", "json"):
                compress(Path(f"{folder}/ours/model_{ITERATIONS}.{suffix}"), FIXTURES / f"format_{FORMAT}.{suffix}.gz")


if __name__ == "__main__":
    main()
