# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings that every hand's task has. Numbers are the reference's (``cfg/task/ShadowHand.yaml``) unless noted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, field
from typing import Any

from isaaclab.assets import RigidObjectCfg
from isaaclab.scene import InteractiveSceneCfg
from isaaclab.utils import configclass

from cpo_lab.assets.cache import is_generated
from cpo_lab.assets.cube import MarkedCubeCfg
from cpo_lab.assets.nucleus import NUCLEUS, TENDON_RANGE
from cpo_lab.tasks.base_env import TaskEnvCfg
from cpo_lab.tasks.in_hand.deployment import deployment
from cpo_lab.tasks.in_hand.rules import ReorientRules
from cpo_lab.tasks.layout import ObservationTerm
from cpo_lab.tasks.robot_file import check_robot
from cpo_lab.tasks.settings import part_of, refuse_changed
from cpo_rl.errors import UserError
from cpo_rl.fields import setting

Vec3 = tuple[float, float, float]


@configclass
class HandNamesCfg:
    """Names in a hand's file. A file of your own needs the joints of the task, under any names, given here."""

    joints: tuple[str, ...] = ()
    """Joints in the order of the observation."""

    motors: tuple[str, ...] = ()
    """What each action drives: a joint, or a tendon that ``tendons`` names."""

    mirrored: tuple[str, ...] = ()
    """Joints that turn the other way round than the task's; they are observed and driven with the opposite sign."""

    tendons: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Tendons with a motor: name -> joints whose angles add up to its length. Their actions are lengths."""

    tendon_range: tuple[float, float] = setting(TENDON_RANGE)
    """Lengths that actions -1 and 1 stand for [rad]."""


@configclass
class HandSceneCfg(InteractiveSceneCfg):
    """A hand, palm up, and an object above it; a hand's own scene says which."""

    num_envs: int = setting(0, at_least=0)
    """Environments; 0 stands for the task's number for this machine."""

    env_spacing: float = setting(0.75, above=0.0, at_most=1000.0)
    """Distance between environments, metres."""

    robot: Any = MISSING
    """The hand."""

    object: RigidObjectCfg = MISSING
    """What is turned."""


@configclass
class InHandEnvCfg(TaskEnvCfg, ReorientRules):
    """What the tasks of all hands can be told; a hand's own settings are added in its file.

    Its layout's terms ``joint_position`` and ``last_action`` say how many joints and motors a hand has.
    """

    scene: Any = MISSING
    """Assets, a :class:`HandSceneCfg`."""

    names: Any = MISSING
    """What the hand's file calls its joints and motors, a :class:`HandNamesCfg`."""

    observation_clip: float = setting(5.0, above=0.0)
    """Largest magnitude of an observation."""

    action_smoothing: float = setting(1.0, above=0.0, at_most=1.0)
    """Share of the new target in the commanded one; 1 means no smoothing."""

    reset_position_noise: float = setting(0.01, at_least=0.0)
    """Largest displacement of the object at a reset along each axis, metres."""

    reset_joint_interval: float = setting(0.2, at_least=0.0, at_most=1.0)
    """Share of the joint range that start positions are drawn from."""

    goal_offset: Vec3 = setting((0.0, 0.0, -0.04))
    """Goal position minus start position of the object, metres."""

    goal_display_offset: Vec3 = setting((0.135, 0.0, 0.03))
    """Where a viewer shows the goal, minus the goal position, metres."""

    camera_eye: Vec3 = setting((-0.1, -0.9, 0.86))
    """Where a camera stands, metres in the environment frame."""

    camera_lookat: Vec3 = setting((0.045, -0.36, 0.53))
    """Where it looks, metres in the environment frame."""

    def derived(self) -> dict[str, Any]:
        """The sizes of observation and action, which the layout gives."""
        sizes = {term.name: term.size for term in self.layout()}
        # no separate critic observation: the critic reads the same numbers
        return {**super().derived(), "action_space": sizes["last_action"], "state_space": 0}

    @classmethod
    def deployment(
        cls, settings: Mapping[str, Any], layout: Sequence[ObservationTerm], state: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What a hand's driver has to know, for ``policy.json``."""
        return deployment(settings, layout)

    def rules(self) -> ReorientRules:
        """The constants of the rules, by themselves."""
        return part_of(self, ReorientRules)

    def links(self) -> tuple[str, ...]:
        """Links that the hand's file must hold besides its joints."""
        return ()

    def check_settings(self) -> None:
        """Refuse settings that cannot work or have no effect.

        Raises:
            UserError: Naming the first one.
        """
        spawn = self.scene.object.spawn
        if isinstance(spawn, MarkedCubeCfg) and len(set(spawn.size)) > 1:  # its spawner and the marker know one edge
            raise UserError(f"env.scene.object.spawn.size must be three equal edges, not {spawn.size!r}.")
        if not self.presets_are_chosen():
            return
        if self.assets == NUCLEUS and is_generated(self.scene.robot.spawn.usd_path):
            raise UserError("env.assets=nucleus is set by presets=nucleus_assets, not by hand; give that instead.")
        self._check_names()

    def check_robots(self) -> None:
        """Refuse a hand whose file lacks joints or links that are named.

        Raises:
            UserError: Naming them.
        """
        check_robot("env.scene.robot", self.scene.robot, self.names.joints, self.links())

    def _check_names(self) -> None:
        """Refuse names that do not stand for all joints and motors of the task, and tendons that nothing pulls."""
        sizes = {term.name: term.size for term in self.layout()}
        for kind, term in (("joints", "joint_position"), ("motors", "last_action")):
            given = len(getattr(self.names, kind))
            if given != sizes[term]:
                raise UserError(
                    f"env.names.{kind} must name the task's {sizes[term]} {kind} in its order, not {given}."
                )
        loose = [tendon for tendon in self.names.tendons if tendon not in self.names.motors]
        if loose:
            raise UserError(f"env.names.tendons.{loose[0]} has no effect, because env.names.motors does not name it.")
        if not self.names.tendons:
            refuse_changed(self.names, ["tendon_range"], "on a hand without tendon motors", "names.")


@configclass
class CollidingHandEnvCfg(InHandEnvCfg):
    """Settings of hands whose file we write with links that touch each other, or without."""

    self_collision: bool = setting(True)
    """Whether links of our hand touch each other: the pairs of its table, for NVIDIA's hand and files of your own what
    they say themselves."""

    def hand_usd(self) -> str:
        """Return the path of our hand's file; a hand of yours is named by ``scene.robot.spawn.usd_path``."""
        raise NotImplementedError

    def check_settings(self) -> None:
        """Refuse settings that cannot work or have no effect.

        Raises:
            UserError: Naming the first one.
        """
        super().check_settings()
        if self.presets_are_chosen() and not is_generated(self.scene.robot.spawn.usd_path):
            refuse_changed(self, ["self_collision"], "on a hand that is not ours, whose file decides")

    def derive(self) -> None:
        """Fill in what follows from other fields, our hand's file among it."""
        super().derive()
        if self.presets_are_chosen() and is_generated(self.scene.robot.spawn.usd_path):
            self.scene.robot.spawn.usd_path = self.hand_usd()
