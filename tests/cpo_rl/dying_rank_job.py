# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A job of two ranks under :class:`EnsembleRunner` whose rank 1 dies in the second iteration: ``OUT raise|kill``."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import torch
from toy import ToyEnv

from cpo_rl.presets import preset
from cpo_rl.runners import EnsembleRunner


class DyingEnv(ToyEnv):
    """Breaks on rank 1 after a while."""

    def step(self, actions: torch.Tensor) -> Any:
        if self.steps == 12 and os.environ["RANK"] == "1":
            (Path(sys.argv[1]) / "died").write_text(str(time.time()))
            if sys.argv[2] == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if sys.argv[2].startswith("hang"):
                if sys.argv[2] == "hang and stop":  # what a scheduler sends to all
                    os.kill(os.getppid(), signal.SIGTERM)
                time.sleep(1000.0)
            raise RuntimeError("the simulator of rank 1 broke")
        return super().step(actions)


def main() -> None:
    """Train until rank 1 dies or hangs."""
    out = Path(sys.argv[1])
    algorithm = preset("cpo", num_policies=3, num_mini_batches=1, adversarial_coef=0.0)
    cfg = {
        "seed": 1,
        "num_steps_per_env": 8,
        "save_interval": 1,
        "rank_timeout_s": 1000.0 if sys.argv[2] == "hang and stop" else 4.0,
        "stop_grace_s": 3.0,
        "obs_groups": {"actor": ["policy"]},
        "model": {"hidden_dims": [8]},
        "algorithm": {"class_name": "cpo_rl.algorithms:EnsemblePPO", **algorithm},
    }
    runner = EnsembleRunner(DyingEnv(torch.arange(12)), cfg, log_dir=str(out / "run"), device="cpu")  # type: ignore
    runner.learn(1000)
    (out / "finished").write_text("")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
