# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause
"""A training job for the signal tests: ``python -m tests.cpo_rl.runners.signal_job FOLDER [key=value ...]``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.cpo_rl.runners.support import NoisyTrackingEnv, ensemble_cfg, make_env, make_runner


class JobEnv(NoisyTrackingEnv):
    """Tracking that can be slow or fail at a step."""

    sleep_s = 0.0
    fail_at = -1
    steps = 0

    def step(self, actions):
        self.steps += 1
        if self.steps == self.fail_at:
            raise RuntimeError("the motor fell off")
        if self.sleep_s:
            Path(sys.argv[1], "stepping").touch()
            time.sleep(self.sleep_s)
        return super().step(actions)


def main() -> int:
    folder = sys.argv[1]
    options = dict(argument.split("=") for argument in sys.argv[2:])
    env = make_env(JobEnv)
    env.sleep_s = float(options.get("sleep_s", 0))
    env.fail_at = int(options.get("fail_at", -1))
    cfg = ensemble_cfg(num_learning_epochs=1, diagnostics_interval=1)
    cfg["stop_grace_s"] = float(options.get("grace_s", 40))
    cfg["num_steps_per_env"] = int(options.get("steps", 8))
    cfg["save_interval"] = int(options.get("save_interval", 1000))
    runner = make_runner(cfg, folder, env=env)
    runner.resume()
    runner.learn_until(int(options.get("iterations", 100_000)))
    return runner.outcome.exit_code


if __name__ == "__main__":
    sys.exit(main())
