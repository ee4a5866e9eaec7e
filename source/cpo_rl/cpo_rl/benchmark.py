# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Times the update of PPO, SAPG and CPO on synthetic rollouts of real shapes, in one process and in turn.

Under torchrun every process times its own share of the environments, and the gradients travel as in training.

No simulator is involved: observations are random, actions are the policies' own, so every array has the size and every
loss the structure of training. Figures of different algorithms are taken alternately, so a drift of the machine's speed
falls on all of them.
"""

from __future__ import annotations

import platform
import resource
import statistics
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from tensordict import TensorDict
from torch.utils._python_dispatch import TorchDispatchMode

from cpo_rl.algorithms import EnsemblePPO
from cpo_rl.config import EnsembleCfg, ModelCfg
from cpo_rl.errors import UserError
from cpo_rl.fields import build_cfg
from cpo_rl.models import EnsembleActorCritic
from cpo_rl.presets import preset


@dataclass(frozen=True)
class Shape:
    """Sizes of a task and the paper's network and schedule for it."""

    num_obs: int
    """Observation size D."""

    num_actions: int
    """Action size A."""

    horizon: int
    """Steps T per environment and iteration."""

    model: dict[str, Any]
    """Network settings."""

    algorithm: dict[str, Any]
    """Task settings of the algorithm, as the preset function takes them."""


SHAPES = {
    "shadow": Shape(
        211, 20, 8, {"hidden_dims": [512, 512, 256, 128]}, {"num_learning_epochs": 5, "num_mini_batches": 2}
    ),
    "allegro": Shape(88, 16, 8, {"hidden_dims": [512, 256, 128]}, {"num_learning_epochs": 5, "num_mini_batches": 2}),
    "kuka": Shape(
        117,
        23,
        16,
        {"hidden_dims": [768, 512, 256], "rnn_type": "lstm", "rnn_hidden_dim": 768},
        {"num_learning_epochs": 2, "num_mini_batches": 4, "sequence_length": 16},
    ),
}
"""Shapes by name: Shadow Hand and Allegro Hand (MLP), Allegro-Kuka reorientation (LSTM)."""

VARIANTS = ("ppo", "sapg", "cpo", "cpo_regulated", "cpo_diversity")
"""Presets that are timed; the last two pay for a leader's forward pass and for a discriminator."""


class HostReads(TorchDispatchMode):
    """Counts operations that make the host wait for a device value, whatever the device."""

    NAMES = ("_local_scalar_dense", "nonzero", "item", "masked_select", "is_nonzero", "equal", "unique")
    """Operations that read the device."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: dict[str, int] = defaultdict(int)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, counting it if it reads the device."""
        name = func.overloadpacket.__name__
        on_gpu = name in ("_to_copy", "copy_") and _leaves_gpu(func, args, kwargs or {})
        if name in self.NAMES or on_gpu:
            self.reads[name] += 1
        return func(*args, **(kwargs or {}))


def _leaves_gpu(func: Any, args: Any, kwargs: dict[str, Any]) -> bool:
    if func.overloadpacket.__name__ == "copy_":
        return args[1].device.type != "cpu" and args[0].device.type == "cpu"
    device = kwargs.get("device")
    return device is not None and torch.device(device).type == "cpu" and args[0].device.type != "cpu"


class Messages:
    """Context that counts what this process sends to the others, and its bytes."""

    def __init__(self) -> None:
        self.bytes: list[int] = []
        """Size of every message [byte]."""

    def __enter__(self) -> Messages:
        self._reduce = torch.distributed.all_reduce
        torch.distributed.all_reduce = self._count
        return self

    def __exit__(self, *error: object) -> None:
        torch.distributed.all_reduce = self._reduce

    def _count(self, tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        self.bytes.append(tensor.nbytes)
        return self._reduce(tensor, *args, **kwargs)


def build(
    shape: Shape, variant: str, num_envs: int, device: str, ranks: dict[str, int] | None = None, **overrides: Any
) -> EnsemblePPO:
    """Build the algorithm of a variant for a shape.

    Args:
        shape: Sizes.
        variant: One of :data:`VARIANTS`.
        num_envs: Environments N, a multiple of 6.
        device: Torch device.
        ranks: rsl_rl's dictionary of this process among several, or None.
        overrides: Further algorithm fields.

    Raises:
        UserError: On an unknown variant or sizes that do not fit.
    """
    if variant not in VARIANTS:
        raise UserError(f"Unknown variant {variant!r}; choose one of {', '.join(VARIANTS)}.")
    task = {"entropy_coef_scale": 0.005, **shape.algorithm, **overrides}
    values = preset(variant, **task)
    cfg = build_cfg(EnsembleCfg, values, "algorithm")
    model_cfg = build_cfg(ModelCfg, {**shape.model, "embedding_dim": 32 if cfg.num_policies > 1 else 0}, "model")
    cfg.validate_batch(num_envs, shape.horizon)
    model = EnsembleActorCritic(shape.num_obs, shape.num_actions, cfg.num_policies, model_cfg).to(device)
    return EnsemblePPO(model, cfg, num_envs, shape.horizon, multi_gpu_cfg=ranks)


def collect(alg: EnsemblePPO, seed: int = 0) -> None:
    """Fill the rollout with random observations and rewards and the policies' own actions."""
    generator = torch.Generator(alg.device).manual_seed(seed)
    num, size = alg.num_envs, alg.model.num_obs

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, device=alg.device, generator=generator)

    with torch.inference_mode():
        obs = TensorDict({"policy": draw(num, size)}, batch_size=[num])
        for _ in range(alg.rollout.horizon):
            alg.act(obs)
            obs = TensorDict({"policy": draw(num, size)}, batch_size=[num])
            alg.process_env_step(obs, draw(num), draw(num) > 2.5, {})
        alg.compute_returns(obs)


def _sync(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _timed(call: Callable[..., Any], name: str, phases: dict[str, float], device: torch.device) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        _sync(device)
        start = time.perf_counter()
        result = call(*args, **kwargs)
        _sync(device)
        phases[name] += time.perf_counter() - start
        return result

    return run


def time_update(alg: EnsemblePPO) -> tuple[float, dict[str, float]]:
    """One collected rollout and its update.

    Returns:
        Seconds of the update with nothing in its way, and seconds per phase of a second update (timing a phase makes
        the device wait, so phases add up to slightly more).
    """
    collect(alg)
    _sync(alg.device)
    start = time.perf_counter()
    alg.update()
    _sync(alg.device)
    total = time.perf_counter() - start
    phases: dict[str, float] = defaultdict(float)
    points = [
        (alg.row_targets, "compute", "targets"),
        (alg.coupling, "measure", "diagnostics"),
        (alg.policy_update, "run", "policy"),
    ]
    if alg.regulator:
        points.append((alg.regulator, "step", "regulation"))
    if alg.diversity:
        points += [(alg.diversity, "bonus", "diversity bonus"), (alg.diversity, "update", "discriminator")]
    for owner, method, name in points:
        setattr(owner, method, _timed(getattr(owner, method), name, phases, alg.device))
    collect(alg)
    alg.update()
    for owner, method, _ in points:
        delattr(owner, method)
    return total, dict(phases)


def count_host_reads(alg: EnsemblePPO) -> int:
    """Operations of one update, with diagnostics, that make the host wait for the device."""
    collect(alg)
    alg.iteration = 0
    with HostReads() as counter, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alg.update()
    return sum(counter.reads.values())


def persistent_bytes(alg: EnsemblePPO) -> int:
    """Memory that rollout, targets and index tables hold between iterations [byte]."""
    seen, total = set(), 0
    for owner in (alg.rollout, alg.tables):
        stack = list(vars(owner).values())
        while stack:
            value = stack.pop()
            if isinstance(value, tuple | list):
                stack.extend(value)
            elif isinstance(value, torch.Tensor) and value.untyped_storage().data_ptr() not in seen:
                seen.add(value.untyped_storage().data_ptr())
                total += value.untyped_storage().nbytes()
    return total


def hardware(device: str) -> dict[str, Any]:
    """What the figures were taken on."""
    return {
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.processor() or "cpu",
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "tf32": torch.backends.cuda.matmul.allow_tf32,
    }


def run(
    shape_name: str,
    num_envs: int,
    device: str,
    repeats: int,
    variants: tuple[str, ...] = VARIANTS,
    say: Callable[[str], None] = lambda line: None,
    ranks: dict[str, int] | None = None,
    **overrides: Any,
) -> dict[str, Any]:
    """Time every variant ``repeats`` times in turn.

    Args:
        shape_name: Key of :data:`SHAPES`.
        num_envs: Environments N of this process, a multiple of 6.
        device: Torch device.
        repeats: Counted updates per variant, at least 1; one more is made first.
        variants: What to time.
        say: Receives a line of progress.
        ranks: rsl_rl's dictionary of this process among several, whose group has been made; None if it is alone.
        overrides: Further algorithm fields, e.g. ``compile=True``.

    Returns:
        Hardware, sizes, and per variant median, minimum and maximum seconds, seconds per phase, ratio to PPO, host
        reads, messages of an update and their bytes, bytes of the rollout and peak memory.
    """
    if shape_name not in SHAPES:
        raise UserError(f"Unknown shape {shape_name!r}; choose one of {', '.join(SHAPES)}.")
    shape = SHAPES[shape_name]
    algs = {name: build(shape, name, num_envs, device, ranks, **overrides) for name in variants}
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    phases: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in variants}
    for repeat in range(-1, repeats):
        for name, alg in algs.items():
            say(f"{name}: update {repeat + 1} of {repeats}")
            total, parts = time_update(alg)
            if repeat >= 0:
                seconds[name].append(total)
                for phase, value in parts.items():
                    phases[name][phase].append(value)
    figures = {name: _figures(alg, seconds[name], phases[name]) for name, alg in algs.items()}
    base = figures.get("ppo")
    for entry in figures.values():
        entry["ratio_to_ppo"] = entry["median_s"] / base["median_s"] if base else None
        entry["memory_to_ppo"] = entry["rollout_bytes"] / base["rollout_bytes"] if base else None
    sizes = {"shape": shape_name, "num_envs": num_envs, "horizon": shape.horizon, "repeats": repeats}
    sizes["processes"] = ranks["world_size"] if ranks else 1
    return {**sizes, "hardware": hardware(device), "variants": figures}


def _figures(alg: EnsemblePPO, seconds: list[float], phases: dict[str, list[float]]) -> dict[str, Any]:
    """What was measured of a variant, and what is measured now: host reads and memory of one more update."""
    if alg.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with Messages() as messages:
        reads = count_host_reads(alg)
    peak = torch.cuda.max_memory_allocated() if alg.device.type == "cuda" else _peak_rss()
    return {
        "median_s": statistics.median(seconds),
        "min_s": min(seconds),
        "max_s": max(seconds),
        "phases_s": {phase: statistics.median(values) for phase, values in phases.items()},
        "host_reads": reads,
        "messages": len(messages.bytes),
        "message_bytes": sum(messages.bytes),
        "largest_message_bytes": max(messages.bytes, default=0),
        "rollout_bytes": persistent_bytes(alg),
        "peak_bytes": peak,
        "rows": alg.tables.num_rows * alg.cfg.sequence_length,
        "gradient_steps": alg.cfg.num_learning_epochs * alg.cfg.num_mini_batches,
    }


def _peak_rss() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
