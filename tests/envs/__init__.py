# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Small simulator-free environments used by the tests and by the learning gate."""

from tests.envs.base import TorchEnvCfg, TorchVecEnv
from tests.envs.deceptive import DeceptiveEnv, DeceptiveEnvCfg
from tests.envs.fork import ForkEnv, ForkEnvCfg
from tests.envs.memory import MemoryEnv, MemoryEnvCfg
from tests.envs.tracking import TrackingEnv, TrackingEnvCfg

__all__ = [
    "DeceptiveEnv",
    "DeceptiveEnvCfg",
    "ForkEnv",
    "ForkEnvCfg",
    "MemoryEnv",
    "MemoryEnvCfg",
    "TorchEnvCfg",
    "TorchVecEnv",
    "TrackingEnv",
    "TrackingEnvCfg",
]
