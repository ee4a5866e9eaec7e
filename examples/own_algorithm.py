# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""CPO with a term of one's own in its loss, on gymnasium's pendulum: ``python examples/own_algorithm.py``."""

import sys
from dataclasses import dataclass

import gymnasium

from cpo_rl.algorithms import EnsemblePPO
from cpo_rl.config import EnsembleCfg
from cpo_rl.environments.gymnasium_vector import GymnasiumVecEnv
from cpo_rl.fields import setting
from cpo_rl.formulas.means import valid_mean
from cpo_rl.presets import preset
from cpo_rl.runners import EnsembleRunner


@dataclass
class EffortCfg(EnsembleCfg):
    effort_coef: float = setting(0.01, at_least=0.0)
    """Weight of the squared length of action means."""


class EffortCPO(EnsemblePPO):
    settings_class = EffortCfg

    def extra_losses(self, rows, out):
        return {"effort": self.cfg.effort_coef * valid_mean(out.mean.square().sum(-1), rows.valid)}


if __name__ == "__main__":
    iterations, log_dir = sys.argv[1:] or (100, "logs/gymnasium/effort")
    env = GymnasiumVecEnv(gymnasium.make_vec("Pendulum-v1", 24, vectorization_mode="sync"), seed=0)
    algorithm = {"class_name": "own_algorithm:EffortCPO", "effort_coef": 0.05, **preset("cpo", num_policies=3)}
    cfg = {"num_steps_per_env": 50, "save_interval": 25, "model": {"hidden_dims": [64, 64]}, "algorithm": algorithm}
    EnsembleRunner(env, cfg, log_dir).learn(int(iterations))
