# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Physics presets of our tasks: ``physics=newton_mjwarp | newton_mjwarp_cpu | ovphysx | isaacsim_physx | physx``.

Who types nothing gets the engine that suits the device: Newton (MuJoCo Warp) on CUDA, OvPhysX on the CPU. Isaac Lab
resolves presets before it knows the device, so ``default`` is chosen from the machine and :func:`fit_to_device`
corrects it when the environment is built, e.g. for ``--device cpu`` on a machine with a GPU. An engine that was asked
for by name is never replaced; Newton's solver settings are, on the CPU, as long as they are the untouched ones of the
CUDA preset.
"""

from __future__ import annotations

import importlib.util
from typing import Any

from isaaclab.physics import PhysxAutoCfg
from isaaclab.utils import configclass
from isaaclab_newton.physics import MJWarpSolverCfg, NewtonCfg
from isaaclab_ov.physics import OvPhysxCfg
from isaaclab_physx.physics import PhysxCfg
from isaaclab_tasks.utils import PresetCfg

FOLLOW_DEVICE = "device"
"""Value of :class:`PhysicsChoiceCfg` when no engine was asked for."""


def cuda_available() -> bool:
    """Whether torch can use a CUDA device."""
    import torch

    return torch.cuda.is_available()


def ovphysx_installed() -> bool:
    """Whether the OvPhysX engine can be imported (it has wheels for x86-64 only)."""
    return importlib.util.find_spec("ovphysx") is not None


def default_device() -> str:
    """``cuda:0`` if there is one, else ``cpu``."""
    return "cuda:0" if cuda_available() else "cpu"


def newton_on_cuda(njmax: int = 200, nconmax: int = 70) -> NewtonCfg:
    """Newton's MuJoCo solver with the settings that Isaac Lab uses for hands on a GPU.

    Args:
        njmax: Room for constraints per environment.
        nconmax: Room for contacts per environment.
    """
    solver = MJWarpSolverCfg(
        integrator="implicitfast",
        njmax=njmax,
        nconmax=nconmax,
        impratio=10.0,
        cone="elliptic",
        update_data_interval=2,
    )
    return NewtonCfg(solver_cfg=solver, num_substeps=2)


def newton_on_cpu(njmax: int = 200, nconmax: int = 70) -> NewtonCfg:
    """The same solver at settings that a CPU can run: pyramidal friction cone, one substep, replayed step.

    The elliptic cone is 17 times slower on a CPU, and a second substep doubles the time. Iteration limits stay at
    Isaac Lab's values because the solver stops when it has converged, after 4 to 10 of them.

    Args:
        njmax: Room for constraints per environment.
        nconmax: Room for contacts per environment.
    """
    solver = MJWarpSolverCfg(
        class_type="cpo_lab.physics.cpu_graph:NewtonCpuGraphManager",
        integrator="implicitfast",
        njmax=njmax,
        nconmax=nconmax,
        impratio=1.0,
        cone="pyramidal",
    )
    return NewtonCfg(solver_cfg=solver, num_substeps=1, use_cuda_graph=False)


def physx_in_isaacsim() -> PhysxCfg:
    """PhysX inside Isaac Sim, with the reference's bounce threshold and contact buffers."""
    return PhysxCfg(bounce_threshold_velocity=0.2, gpu_max_rigid_contact_count=2**23, gpu_max_rigid_patch_count=2**23)


def engine_for(device: str) -> str:
    """Name of the preset that suits ``device`` (``cpu`` or ``cuda[:i]``)."""
    if device != "cpu":
        return "newton_mjwarp"
    return "ovphysx" if ovphysx_installed() else "newton_mjwarp_cpu"


@configclass
class HandPhysicsCfg(PresetCfg):
    """Engines for a hand with one object. A task with more contacts subclasses it with larger buffers."""

    newton_mjwarp: NewtonCfg = newton_on_cuda()
    """Newton, MuJoCo Warp solver; on a CPU its settings become those of ``newton_mjwarp_cpu``."""

    newton_mjwarp_cpu: NewtonCfg = newton_on_cpu()
    """Newton with settings for a CPU."""

    ovphysx: OvPhysxCfg = OvPhysxCfg()
    """PhysX 5 without Isaac Sim."""

    isaacsim_physx: PhysxCfg = physx_in_isaacsim()
    """PhysX inside Isaac Sim (starts Kit)."""

    physx: PhysxAutoCfg = PhysxAutoCfg(isaacsim_physx=physx_in_isaacsim(), ovphysx=OvPhysxCfg())
    """PhysX of Isaac Sim if something else needs Kit, OvPhysX otherwise."""

    default: Any = None
    """The engine for this machine; see :func:`fit_to_device`."""

    def __post_init__(self) -> None:
        """Choose the default from the machine."""
        if self.default is None:
            self.default = getattr(self, engine_for(default_device()))


@configclass
class PhysicsChoiceCfg(PresetCfg):
    """Remembers which engine was asked for by name: resolves to that name, or to ``device`` if none was."""

    newton_mjwarp: str = "newton_mjwarp"
    newton_mjwarp_cpu: str = "newton_mjwarp_cpu"
    ovphysx: str = "ovphysx"
    isaacsim_physx: str = "isaacsim_physx"
    physx: str = "physx"
    default: str = FOLLOW_DEVICE


def engine_configurations(presets: HandPhysicsCfg) -> dict[str, tuple[type, ...]]:
    """Classes of configurations that an engine asked for by name may have.

    Args:
        presets: The task's presets.

    Returns:
        Name of the engine, without ``default`` -> classes; ``physx`` becomes one of the PhysX engines as it starts.
    """
    names = [name for name in vars(presets) if name != "default"]
    classes = {name: (type(getattr(presets, name)),) for name in names}
    return {**classes, "physx": (PhysxAutoCfg, PhysxCfg, OvPhysxCfg)}


def fit_to_device(sim_cfg: Any, choice: str, presets: HandPhysicsCfg) -> list[str]:
    """Make ``sim_cfg.physics`` suit ``sim_cfg.device``, as far as the user left that open.

    Args:
        sim_cfg: Isaac Lab's ``SimulationCfg`` with resolved presets; changed in place.
        choice: Resolved :class:`PhysicsChoiceCfg`.
        presets: The task's presets.

    Returns:
        One line for every change.
    """
    lines = []
    on_cpu = sim_cfg.device == "cpu"
    if choice == FOLLOW_DEVICE:
        engine = engine_for(sim_cfg.device)
        wanted = getattr(presets, engine)
        if type(sim_cfg.physics) is not type(wanted):
            sim_cfg.physics = wanted
            lines.append(f"physics: {engine}, which suits the device {sim_cfg.device} (physics=NAME chooses another)")
    if on_cpu and isinstance(sim_cfg.physics, NewtonCfg) and _untouched(sim_cfg.physics, presets.newton_mjwarp):
        sim_cfg.physics = presets.newton_mjwarp_cpu
        lines.append("physics: Newton's solver at its settings for a CPU (pyramidal cone, one substep, replayed step)")
    return lines


def _untouched(physics: NewtonCfg, preset: NewtonCfg) -> bool:
    """Whether ``physics`` has the values of ``preset``."""
    return physics.to_dict() == preset.to_dict()
