# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Step a task with random actions in a process of its own and print what it returned and what it keeps in memory.

``python digest.py TASK ENGINE SEED [SETTING ...]`` prints two lines after every 20 of 100 steps (``DIGEST_STEPS``): a
hash of all observations, rewards and ends so far, and the number of bytes in all tensors that are alive. The last 40 of
100 actions are the same, so that robots come to rest. With ``DIGEST_DRESSED`` it says first how many meshes are drawn
in an environment, the scene being dressed (1) or bare (0).
"""

from __future__ import annotations

import gc
import hashlib
import os
import sys

from cpo_lab.launch.configuration import Request, resolve
from cpo_lab.launch.simulation import make_env, simulation

NUM_ENVS = 12
STEPS, BLOCK = int(os.environ.get("DIGEST_STEPS", "100")), 20
HELD = 40


def main(task: str, engine: str, seed: int, settings: list[str]) -> None:
    overrides = [f"physics={engine}", *settings]
    resolved = resolve(Request(task, "cpo", device="cpu", num_envs=NUM_ENVS, seed=seed, overrides=overrides))
    dressed = os.environ.get("DIGEST_DRESSED")
    if dressed == "1":
        from cpo_lab.assets.look.dress import dress

        dress(resolved.env_cfg.scene)
    with simulation(resolved), make_env(resolved) as env:
        import torch

        if dressed:
            sys.stdout.write(f"meshes {_meshes()}\n")

        generator = torch.Generator().manual_seed(seed)
        seen = hashlib.sha256()
        env.reset()
        env.episode_length_buf = torch.randint_like(env.episode_length_buf, int(env.max_episode_length))
        for step in range(STEPS):
            if step % 100 < 100 - HELD:
                actions = 2.0 * torch.rand(NUM_ENVS, env.num_actions, generator=generator) - 1.0
            observations, rewards, dones, _ = env.step(actions)
            for tensor in (observations["policy"], rewards, dones.float()):
                assert tensor.isfinite().all()
                seen.update(tensor.contiguous().numpy().tobytes())
            if (step + 1) % BLOCK == 0:
                gc.collect()
                alive = sum(t.numel() * t.element_size() for t in gc.get_objects() if isinstance(t, torch.Tensor))
                sys.stdout.write(f"digest {seen.hexdigest()[:16]}\nmemory {alive}\n")


def _meshes() -> int:
    """Return how many meshes of looks the first environment holds."""
    import isaaclab.sim as sim_utils

    prims = sim_utils.get_current_stage().Traverse()
    return sum(prim.GetName().startswith("look_") and "/env_0/" in str(prim.GetPath()) for prim in prims)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:])
