# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What each process of a run holds besides the shared learning state: generators, environments, running episodes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from rsl_rl.env import VecEnv

from cpo_rl.algorithms.episodes import EpisodeSums
from cpo_rl.contracts import Algorithm, Environment
from cpo_rl.distributed import PROGRESS
from cpo_rl.runs import random_state
from cpo_rl.runs.files import reason
from cpo_rl.runs.payload import plain_copy


@dataclass
class Restored:
    """What became of the state of a checkpoint."""

    random: Mapping[str, Any] | None = None
    """Random state to restore right before the first rollout."""

    env_restored: bool = False
    """Whether the environments continue exactly where they were."""

    sentences: list[str] = field(default_factory=list)
    """What is not the same as before, for people."""


class RankState:
    """Captures and restores one rank's part of a checkpoint.

    The environment's part is what it declares (:class:`~cpo_rl.contracts.CheckpointedEnvironment`). One that continues
    exactly does; one that restores only its task state (a simulator) starts new episodes. The step counter on which
    Isaac Lab's curricula are keyed is kept in any case.

    Args:
        env: rsl_rl environment.
        alg: What the algorithm offers; it is told when the environments start new episodes.
        device: Device of the algorithm.
        several: Whether several processes train together; a single one's state is all in ``alg.save()``.
    """

    def __init__(self, env: VecEnv, alg: Algorithm, device: str, several: bool = False) -> None:
        self._num_envs = env.num_envs
        self._env = Environment(env)
        self._alg = alg
        self._device = device
        self._several = several
        self.episodes: EpisodeSums | None = None

    def capture(self) -> dict[str, Any]:
        """Return this rank's state as tensors and plain values."""
        state: dict[str, Any] = {"random": random_state.capture(self._device)}
        if self.episodes is not None:
            state["episodes"] = self.episodes.state_dict()
        own = {
            "algorithm": self._alg.rank_state() if self._several else None,
            "env": self._env.state(),
            "common_step_counter": self._env.step_counter,
        }
        state.update({name: value for name, value in own.items() if value is not None})
        return plain_copy(state)

    def restore(self, runner: Mapping[str, Any], rank: int, world_size: int) -> Restored:
        """Restore what fits from the runner's part of a checkpoint.

        Args:
            runner: Entry ``runner`` of the payload.
            rank: Rank of this process.
            world_size: Number of processes now.

        Returns:
            The random state for later and what is different.
        """
        report = Restored()
        ranks: Sequence[Mapping[str, Any]] = runner["ranks"]
        if not runner["exact"]:
            report.sentences.append(
                "the checkpoint is not of the end of a sound iteration; its rollout is collected again."
            )
        if "common_step_counter" in ranks[0]:
            self._env.step_counter = ranks[0]["common_step_counter"]
        if runner["world_size"] != world_size:
            report.sentences.append(
                f"{runner['world_size']} ranks before, {world_size} now: generators and episodes start anew."
            )
        elif runner["num_envs"] != self._num_envs:
            report.sentences.append(
                f"{runner['num_envs']} environments per rank before, {self._num_envs} now: "
                "generators and episodes start anew."
            )
        else:
            random_state.check(ranks[rank]["random"], self._device)
            report.random = ranks[rank]["random"]
            if "algorithm" in ranks[rank]:
                self._alg.base.load_rank_state(ranks[rank]["algorithm"])
            report.env_restored = self._restore_env(ranks[rank], report) and runner["exact"]
        if report.env_restored and self.episodes is not None:
            self.episodes.load_state_dict(ranks[rank]["episodes"])
        else:
            self._start_new_episodes()
        return report

    def restore_random(self, state: Mapping[str, Any]) -> list[str]:
        """Set the global generators; return what could not be restored, in words."""
        return random_state.restore(state, self._device)

    def _restore_env(self, state: Mapping[str, Any], report: Restored) -> bool:
        """Give the environment its state; return whether it continues exactly."""
        kind = self._env.kind
        if "env" not in state or not self._env.keeps_state:
            report.sentences.append(f"{kind} keeps no state in checkpoints: every environment starts a new episode.")
            return False
        try:
            self._env.restore(state["env"])
        except (LookupError, ValueError, RuntimeError, TypeError, AttributeError) as error:
            report.sentences.append(
                f"the state of {kind} does not fit ({reason(error)}): every environment starts a new episode."
            )
            return False
        if not self._env.continues_exactly:
            names = ", ".join(sorted(str(name) for name in state["env"])) or "nothing"
            report.sentences.append(f"restored of {kind}: {names}; the simulation itself starts new episodes.")
            return False
        return True

    def _start_new_episodes(self) -> None:
        """Forget episodes that were running when the checkpoint was written."""
        if self.episodes is not None:
            self.episodes.forget_running()
        self._alg.reset_episodes()


def gather_ranks(state: dict[str, Any], distributed: bool, device: str) -> list[dict[str, Any]]:
    """Return the states of all ranks in order; on ranks other than 0 the result may be used for nothing.

    The states travel as the bytes of torch's file format and are read back by its restricted reader.
    """
    if not distributed:
        return [state]
    buffer = io.BytesIO()
    torch.save(state, buffer)
    mine = torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8).to(device)
    world_size = torch.distributed.get_world_size()
    sizes = [torch.zeros(1, dtype=torch.long, device=device) for _ in range(world_size)]
    torch.distributed.all_gather(sizes, torch.tensor([mine.numel()], device=device))
    PROGRESS.moves += 1
    longest = max(int(size.item()) for size in sizes)
    padded = torch.zeros(longest, dtype=torch.uint8, device=device)
    padded[: mine.numel()] = mine
    parts = [torch.zeros_like(padded) for _ in range(world_size)]
    torch.distributed.all_gather(parts, padded)
    return [
        torch.load(io.BytesIO(part[: int(size.item())].cpu().numpy().tobytes()), weights_only=True)
        for part, size in zip(parts, sizes, strict=True)
    ]
