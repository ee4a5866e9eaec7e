# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The table of metrics is the only list of them, and holds all that a run writes."""

from __future__ import annotations

from typing import Any

import pytest
from tests.cpo_rl.runners.support import ensemble_cfg, make_env, make_runner, stock_ppo_cfg
from tests.project.metric_docs import DOCUMENT, with_tables
from tests.project.metric_tags import PRODUCERS, ROOT, TABLE, producers, product_files, tags_in

from cpo_rl.runs.metric_names import METRICS, row_of
from cpo_rl.runs.tables import AXES, read_metrics

OWN_GROUPS = ("Task/", "Leader/", "Policy_")
"""Groups in which tasks name metrics of their own, so that a row with an open name is right for them."""

ENVIRONMENT = {"episode/return"}
"""What the toy environments report in a group of their own, which no table can know."""


def stock_ppo_with_extensions() -> dict[str, Any]:
    """rsl_rl's PPO with random network distillation and a mirror loss."""
    cfg = stock_ppo_cfg()
    cfg["obs_groups"]["rnd_state"] = ["policy"]
    cfg["algorithm"]["rnd_cfg"] = {
        "num_outputs": 1,
        "predictor_hidden_dims": [4],
        "target_hidden_dims": [4],
        "weight": 0.1,
    }
    cfg["algorithm"]["symmetry_cfg"] = {
        "use_data_augmentation": False,
        "use_mirror_loss": True,
        "mirror_loss_coeff": 0.1,
        "data_augmentation_func": mirrored,
    }
    return cfg


def mirrored(env: Any, obs: Any = None, actions: Any = None) -> tuple[Any, Any]:
    """Every row and its mirror image, as rsl_rl asks for it."""
    import torch

    both = None if obs is None else torch.cat((obs, obs.apply(torch.neg)))
    return both, None if actions is None else torch.cat((actions, -actions))


CONFIGURATIONS = {
    "cpo": lambda: ensemble_cfg("cpo", kl_coef=0.1),
    "cpo with an LSTM": lambda: ensemble_cfg("cpo", "lstm"),
    "cpo, regulated": lambda: ensemble_cfg("cpo_regulated"),
    "sapg": lambda: ensemble_cfg("sapg"),
    "ppo": lambda: ensemble_cfg("ppo", num_policies=1),
    "rsl_rl's PPO": stock_ppo_cfg,
    "rsl_rl's PPO with extensions": stock_ppo_with_extensions,
}


NOT_IN_TOYS = ("Leader/successes", "Leader/<success>", "Loss/<name>", "Task/<name>", "Env/<name>")
"""Rows that the toy runs do not need: for tasks that count successes, and for algorithms and tasks of others."""


@pytest.fixture(scope="module")
def produced(tmp_path_factory) -> dict[str, set[str]]:
    """Tags that short trainings write, by configuration."""
    tags = {}
    for name, configuration in CONFIGURATIONS.items():
        folder = tmp_path_factory.mktemp("run")
        env = make_env()
        env.step_dt = 0.02  # rsl_rl's random network distillation scales by it
        make_runner(configuration(), folder, env).learn(3)
        tags[name] = set(read_metrics(folder / "metrics.csv")) - set(AXES) - ENVIRONMENT
    return tags


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_metric_that_a_run_writes_has_a_row(produced, name):
    missing = {tag for tag in produced[name] if not has_row(tag)}
    assert not missing, f"{missing} of {name} need a row in METRICS (cpo_rl/runs/metric_names.py)."


def has_row(tag: str) -> bool:
    """Whether a metric stands in the table; one that no task named under its own name."""
    row = row_of(tag)
    return row is not None and (not row.is_open or tag.startswith(OWN_GROUPS))


def test_every_row_is_a_metric_that_some_run_writes(produced):
    rows = {row_of(tag) for tags in produced.values() for tag in tags}
    idle = [metric.tag for metric in METRICS if metric not in rows and metric.tag not in NOT_IN_TOYS]
    assert not idle, f"Nothing writes {idle}; remove their rows from METRICS (cpo_rl/runs/metric_names.py)."


def test_tags_are_found_in_literals_and_f_strings():
    source = (
        'a = "Leader/return"\nb = f"Policy_{i}/{name}"\nc = "logs/rsl_rl"\nd = f"Loss/{x}"\n"""Leader/return is."""'
    )
    assert list(tags_in(source)) == [(1, "Leader/return"), (2, "Policy_{}/{}"), (4, "Loss/{}")]


def test_a_tag_stands_only_where_it_is_produced_and_in_the_table():
    allowed = {*producers(), ROOT / TABLE}
    found = {
        f"{file.relative_to(ROOT)}:{line}: {tag}"
        for file in product_files()
        if file not in allowed
        for line, tag in tags_in(file.read_text(encoding="utf-8"))
    }
    assert not found, f"Import these tags, or what is known of them, from cpo_rl.runs.metric_names: {sorted(found)}"


def test_every_place_that_produces_metrics_exists():
    for pattern in PRODUCERS:
        assert any(list(tags_in(file.read_text(encoding="utf-8"))) for file in ROOT.glob(pattern)), (
            f"Nothing produces a metric in {pattern}; remove it from PRODUCERS (tests/project/metric_tags.py)."
        )


def test_the_tables_in_the_documentation_are_the_table():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text == with_tables(text), "Run python -m tests.project.metric_docs: docs/report.md is behind METRICS."
