# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What all our environments do before Isaac Lab builds them: fit engine, size and threads to the machine, visibly."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import isaaclab.sim as sim_utils
import torch
from isaaclab.envs import DirectRLEnv, DirectRLEnvCfg
from isaaclab.scene import InteractiveSceneCfg
from isaaclab.sim import SimulationCfg
from isaaclab.utils import configclass
from isaaclab.utils.array import index_fill_
from isaaclab.utils.string import ResolvableString
from isaaclab_tasks.utils import PresetCfg

from cpo_lab.assets.availability import check_files, file_of
from cpo_lab.assets.nucleus import BUILTIN, NUCLEUS, AssetChoiceCfg
from cpo_lab.physics.changed_targets import WITHOUT_TORQUES, write_every_target
from cpo_lab.physics.defaults import default_num_envs, fit_num_envs, limit_torch_threads
from cpo_lab.physics.material import check_for_newton, tell_newton, tell_ovphysx
from cpo_lab.physics.no_cuda import allow_pinned_without_cuda
from cpo_lab.physics.presets import (
    FOLLOW_DEVICE,
    HandPhysicsCfg,
    PhysicsChoiceCfg,
    default_device,
    engine_configurations,
    engine_for,
    fit_to_device,
)
from cpo_lab.tasks.layout import ObservationTerm, layout_size
from cpo_lab.tasks.motion_limits import MotionLimiter
from cpo_lab.tasks.physical_contract import Coupling, InHand, JointGroup, OnSurface, Settling
from cpo_lab.tasks.quarantine import Bounds, Quarantine
from cpo_lab.tasks.ranges import check_ranges
from cpo_lab.tasks.settings import check_values, defaults_of
from cpo_rl.errors import UserError
from cpo_rl.fields import setting

logger = logging.getLogger(__name__)


def simulation_cfg(physics: HandPhysicsCfg, decimation: int, dt: float = 1 / 120) -> SimulationCfg:
    """Return the simulation of a task, the engine by preset, with friction 1 (:mod:`cpo_lab.physics.material`).

    Args:
        physics: Presets of the engines.
        decimation: Physics steps per policy step; a viewer draws once in as many.
        dt: Time of a physics step [s].
    """
    return SimulationCfg(
        device=default_device(),
        dt=dt,
        render_interval=decimation,
        physics=physics,
        physics_material=sim_utils.RigidBodyMaterialCfg(static_friction=1.0, dynamic_friction=1.0, restitution=0.0),
    )


@configclass
class TaskEnvCfg(DirectRLEnvCfg):
    """Fields that every task of this package has.

    A task declares its own with :func:`~cpo_lab.tasks.settings.setting`, so that values out of range are refused, and
    overrides :meth:`check_settings` to refuse those that have no effect together with others.
    """

    physics_presets: ClassVar[type[HandPhysicsCfg]] = HandPhysicsCfg
    """Class of the presets that ``sim.physics`` holds, from which the engine for another device is taken."""

    physics_choice: PhysicsChoiceCfg = PhysicsChoiceCfg()
    """Engine asked for with ``physics=NAME``; ``device`` if none was. Set by the presets, not by hand."""

    assets: AssetChoiceCfg = AssetChoiceCfg()
    """``nucleus`` if NVIDIA's robots were asked for with ``presets=nucleus_assets``, else ``builtin``. Set by the
    presets, not by hand."""

    no_nucleus_assets: ClassVar[str] = "none of NVIDIA's robots is set up for it"
    """Why this task has no ``presets=nucleus_assets``; empty if it has."""

    cuda_num_envs: int = setting(24576, at_least=1, at_most=2**20)
    """Environments on a CUDA device unless ``--num_envs`` says otherwise (reference: 24,576)."""

    cpu_num_envs: int = setting(252, at_least=1, at_most=2**20)
    """Environments on a CPU unless ``--num_envs`` says otherwise; a multiple of the 6 policies."""

    object_speed_limit: float = setting(20.0, above=0.0)
    """Largest speed of objects [m/s]; see :mod:`cpo_lab.tasks.motion_limits`, which also bounds joints."""

    object_spin_limit: float = setting(64.0, above=0.0)
    """Largest angular speed of objects [rad/s]: the default of the reference's engine."""

    only_changed_targets: bool = setting(True)
    """Whether robots on OvPhysX on a CPU write targets when they change (the same results, in less time) instead
    of before every physics step; elsewhere it is all one."""

    def layout(self) -> tuple[ObservationTerm, ...]:
        """The terms of the observation, from which its size and its documentation are made; empty for a task without.

        An exported policy is described by it.
        """
        return ()

    @classmethod
    def layouts(cls) -> list[tuple[ObservationTerm, ...]]:
        """All layouts that settings of the task can lead to."""
        return [cls().layout()]

    @classmethod
    def deployment(
        cls, settings: Mapping[str, Any], layout: Sequence[ObservationTerm], state: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What a robot's driver has to know, for ``policy.json``; empty if the task does not say.

        Args:
            settings: Settings that a policy was trained with, as plain values.
            layout: Terms of its observation.
            state: What the environment kept in the checkpoint (``state_for_checkpoint``).

        Raises:
            UserError: If something about the robot cannot be found.
        """
        return {}

    def presets_are_chosen(self) -> bool:
        """Whether Isaac Lab has put the chosen presets in the place of all of them, as it does before a start."""
        return not isinstance(self.assets, PresetCfg)

    def derived(self) -> dict[str, Any]:
        """Fields that follow from other fields and cannot be set, with their values."""
        return {"observation_space": layout_size(self.layout())} if self.layout() else {}

    def derive(self) -> None:
        """Fill in what follows from other fields; called again when overrides have been applied."""
        for name, value in self.derived().items():
            setattr(self, name, value)

    def check(self) -> None:
        """Refuse settings that cannot work or have no effect; called before anything starts.

        Raises:
            UserError: Naming the first one, or a file that cannot be had.
        """
        check_values(self)
        check_ranges(self, "env")
        self._check_derived()
        if self.presets_are_chosen():
            self._check_presets()
            engine = engine_for(self.sim.device) if self.physics_choice == FOLLOW_DEVICE else self.physics_choice
            if engine.startswith("newton"):
                check_for_newton(self.sim)
        self.check_settings()
        check_files(self.scene)
        if self.presets_are_chosen():
            self.check_robots()

    def check_settings(self) -> None:
        """Refuse settings that, together with others, cannot work or have no effect; a task overrides it.

        Raises:
            UserError: Naming the first one.
        """

    def check_robots(self) -> None:
        """Refuse robots whose files lack what the task names; a task overrides it.

        Raises:
            UserError: Naming the file and what it lacks.
        """

    def num_shapes(self) -> int:
        """Return how many different objects are dealt out to the environments; 1 if all have the same."""
        return 1

    def _check_derived(self) -> None:
        default = defaults_of(self)  # overrides of other fields may have changed what follows from them
        for name, value in self.derived().items():
            if getattr(self, name) not in (value, getattr(default, name)):
                raise UserError(f"env.{name} follows from the task's other settings and is {value}; leave it out.")
        for name in ("num_observations", "num_actions", "num_states"):
            if vars(self).get(name) is not None:
                raise UserError(f"env.{name} is an older name of Isaac Lab's for what the task decides; leave it out.")

    def _check_presets(self) -> None:
        """Refuse values of the fields that remember which presets were asked for, if they do not fit the rest."""
        if self.assets not in (BUILTIN, NUCLEUS):
            raise UserError(f"env.assets={self.assets!r} is set by presets=nucleus_assets, not by hand; leave it out.")
        if self.assets == NUCLEUS and self.no_nucleus_assets:
            raise UserError(f"presets=nucleus_assets is not offered for this task: {self.no_nucleus_assets}.")
        engines = engine_configurations(self.physics_presets())
        if self.physics_choice == FOLLOW_DEVICE or type(self.sim.physics) in engines.get(self.physics_choice, ()):
            return
        raise UserError(
            f"env.physics_choice={self.physics_choice!r} is set by physics=NAME, not by hand; leave it out."
        )

    def __post_init__(self) -> None:
        """Fill in what depends on other fields or on the machine."""
        if self.scene.num_envs == 0:
            self.scene.num_envs = default_num_envs(self)
        self.derive()


class TaskEnv(DirectRLEnv):
    """A :class:`DirectRLEnv` that also runs where there is no CUDA driver, and says how its episodes ended.

    An environment whose state, reward or observation cannot be is quarantined (:mod:`cpo_lab.tasks.quarantine`).
    """

    cfg: TaskEnvCfg
    reward_buf: torch.Tensor
    reset_buf: torch.Tensor

    mutable_rewards: ClassVar[tuple[str, ...]] = ()
    """Settings of the reward that a population may change; only for a task whose score does not depend on them."""

    bounds: ClassVar[Bounds] = Bounds()
    """What is absurd in this task."""

    def __init__(self, cfg: TaskEnvCfg, render_mode: str | None = None, **kwargs: Any) -> None:
        cfg.check()  # launchers other than ours have not
        cfg.derive()
        allow_pinned_without_cuda()
        self.choices: list[str] = [
            *fit_to_device(cfg.sim, cfg.physics_choice, cfg.physics_presets()),
            *fit_num_envs(cfg, defaults_of(cfg).scene.num_envs),
            *limit_torch_threads(cfg.sim.device),
            *self.fit_to_engine(cfg),
        ]
        """What was chosen for the user, one line each."""
        for line in self.choices:
            logger.warning(line)
        tell_newton(cfg.sim)
        if cfg.scene.class_type == InteractiveSceneCfg(num_envs=1, env_spacing=1.0).class_type:  # none of your own
            cfg.scene.class_type = ResolvableString("cpo_lab.tasks.limited_scene:LimitedScene")
        if not cfg.only_changed_targets:
            write_every_target(cfg.scene)
        super().__init__(cfg, render_mode, **kwargs)
        self.scene.limiter = MotionLimiter(self.scene, cfg.object_speed_limit, cfg.object_spin_limit)
        self.quarantine = Quarantine(self.scene, self.bounds)

    def _setup_scene(self) -> None:
        """Say what bodies without a material of their own are made of; the rest stands in the scene's settings."""
        super()._setup_scene()
        tell_ovphysx(self.sim)

    def _reset_idx(self, env_ids: torch.Tensor) -> None:
        """Begin an episode; the torques of the one before are not observed in it."""
        super()._reset_idx(env_ids)
        with torch.inference_mode():  # in which they may have been made, and could not be changed outside of it
            for robot in self.scene.articulations.values():
                if robot.cfg.class_type != WITHOUT_TORQUES:
                    index_fill_(robot.data.applied_torque.torch, env_ids, 0.0)

    def _reset_envs_from_buffer(self) -> torch.Tensor | None:
        """Reset environments whose episode ended, and those that are quarantined, which get no reward."""
        void = self.quarantine.judge(self.reward_buf)
        self.reset_terminated |= void
        self.reset_time_outs &= ~void
        self.reset_buf = self.reset_buf | void
        self.reward_buf = self.reward_buf.masked_fill(void, 0.0)
        return super()._reset_envs_from_buffer()

    def _compute_observations(self) -> dict[str, torch.Tensor]:
        return self.quarantine.inspect(super()._compute_observations(), self.extras)

    def keep_outcome(self, last: torch.Tensor, value: torch.Tensor, env_ids: torch.Tensor) -> None:
        """Keep what episodes ended with, except where they were quarantined; for :meth:`_reset_idx`.

        Args:
            last: Outcome of each environment's last finished episode [N, ...], changed in place.
            value: The running episodes' [N, ...].
            env_ids: Environments whose episode ends [K].
        """
        ended, void = value[env_ids], self.quarantine.void[env_ids]
        last[env_ids] = torch.where(void.view(-1, *[1] * (ended.dim() - 1)), last[env_ids], ended)

    def reward_settings(self) -> dict[str, float]:
        """Return the values of :attr:`mutable_rewards`."""
        return {name: getattr(self.cfg, name) for name in self.mutable_rewards}

    def set_reward_settings(self, values: Mapping[str, float]) -> None:
        """Change settings of the reward between two steps."""
        for name, value in values.items():
            setattr(self.cfg, name, value)

    def fell(self) -> torch.Tensor:
        """Environments whose episode the last step ended by a failure, bool [N].

        Here all terminated ones that are not quarantined.
        """
        return self.reset_terminated & ~self.quarantine.void

    def joint_groups(self) -> list[JointGroup]:
        """Joints of every robot, for the checks of the physics; empty if the task does not say."""
        return []

    def resting_places(self) -> list[OnSurface | InHand]:
        """Where an object must stay, the robots being in their default pose."""
        return []

    def couplings(self) -> list[Coupling]:
        """Tendons between joints of the first group."""
        return []

    def settlings(self) -> list[Settling]:
        """How high robots with a free base stand or lie when left alone."""
        return []

    def checkpoint_fingerprint(self) -> dict[str, str]:
        """Return which robots and which files of theirs a checkpoint of this run belongs to.

        Returns:
            ``robot``: names of the articulations' files without the content hash of generated ones; a checkpoint of
            other robots is refused. ``assets``: a hash over the files of all articulations and objects; a difference is
            only reported, because a generated file also changes when nothing about the robot does.
        """
        robots = sorted(_usd_files(self.scene.articulations))
        files = sorted({*robots, *_usd_files(self.scene.rigid_objects)})
        digest = hashlib.sha256()
        for file in files:
            digest.update(file.read_bytes() if file.is_file() else str(file).encode())
        names = sorted({re.sub(r"_[0-9a-f]{16}$", "", file.stem) for file in robots})
        return {"robot": "+".join(names), "assets": digest.hexdigest()[:16]}

    @staticmethod
    def fit_to_engine(cfg: TaskEnvCfg) -> list[str]:
        """Change what must differ between engines; ``cfg.sim.physics`` is the engine that will run.

        Args:
            cfg: The task's settings; changed in place.

        Returns:
            One line for every change.
        """
        return []


def _usd_files(assets: Mapping[str, Any]) -> set[Path]:
    """Return the USD files that assets are spawned from."""
    paths = (file_of(asset.cfg) for asset in assets.values())
    return {Path(path) for path in paths if path}
