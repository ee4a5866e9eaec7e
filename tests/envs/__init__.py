# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Small simulator-free environments used by the tests and by the learning gate."""

from .base import TorchEnvCfg, TorchVecEnv
from .deceptive import DeceptiveEnv, DeceptiveEnvCfg
from .memory import MemoryEnv, MemoryEnvCfg
from .tracking import TrackingEnv, TrackingEnvCfg

__all__ = [
    "DeceptiveEnv",
    "DeceptiveEnvCfg",
    "MemoryEnv",
    "MemoryEnvCfg",
    "TorchEnvCfg",
    "TorchVecEnv",
    "TrackingEnv",
    "TrackingEnvCfg",
]
