# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Isaac Lab's config classes inherit fields, defaults and ranges of the library instead of declaring them again."""

from __future__ import annotations

import dataclasses

import pytest

pytest.importorskip("isaaclab")

from isaaclab.utils import to_dict

from cpo_lab.tasks.agents import EnsembleAlgorithmCfg, EnsembleModelCfg, EnsembleRunnerCfg, StockPpoRunnerCfg
from cpo_rl.config import EnsembleCfg, ModelCfg, RunnerOptions
from cpo_rl.fields import limits_of

PAIRS = [
    (EnsembleAlgorithmCfg, EnsembleCfg),
    (EnsembleModelCfg, ModelCfg),
    (EnsembleRunnerCfg, RunnerOptions),
    (StockPpoRunnerCfg, RunnerOptions),
]


@pytest.mark.parametrize(("ours", "library"), PAIRS)
def test_fields_come_from_the_library(ours, library):
    mine, limits = vars(ours()), limits_of(ours)
    for name, value in vars(library()).items():
        assert mine[name] == value, name
        assert limits[name] == limits_of(library)[name], name
        assert name not in ours.__configclass_own_fields__, f"{ours.__name__} declares {name} again"


@pytest.mark.parametrize(("ours", "library"), PAIRS)
def test_ranges_survive_dictionaries_and_copies(ours, library):
    cfg = ours()
    names = [f.name for f in dataclasses.fields(library)]
    cfg.from_dict({name: value for name, value in to_dict(cfg).items() if name in names})
    assert limits_of(type(cfg.copy())) == limits_of(ours)
    assert vars(cfg.copy())[names[0]] == vars(cfg)[names[0]]
