# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings that the tasks of all robots on legs have."""

from __future__ import annotations

from dataclasses import MISSING
from typing import Any, ClassVar

from isaaclab.assets import AssetBaseCfg
from isaaclab.scene import InteractiveSceneCfg
from isaaclab.utils import configclass
from isaaclab_newton.physics import NewtonCfg

from cpo_lab.assets.furniture import ground_cfg
from cpo_lab.physics.presets import HandPhysicsCfg, newton_on_cpu, newton_on_cuda
from cpo_lab.tasks.base_env import TaskEnvCfg
from cpo_lab.tasks.robot_file import check_robot
from cpo_lab.tasks.settings import refuse_changed
from cpo_rl.fields import setting

Vec3 = tuple[float, float, float]


@configclass
class LegsPhysicsCfg(HandPhysicsCfg):
    """Engines with room for the contacts of a robot that lies on the ground."""

    newton_mjwarp: NewtonCfg = newton_on_cuda(njmax=300, nconmax=100)
    newton_mjwarp_cpu: NewtonCfg = newton_on_cpu(njmax=300, nconmax=100)


@configclass
class LegsSceneCfg(InteractiveSceneCfg):
    """A robot on the ground; its own scene says which."""

    num_envs: int = setting(0, at_least=0)
    """Environments; 0 stands for the task's number for this machine."""

    env_spacing: float = setting(8.0, above=0.0, at_most=1000.0)
    """Distance between environments [m]."""

    ground: AssetBaseCfg = ground_cfg()
    """The ground."""

    robot: Any = MISSING
    """The robot."""


@configclass
class LegsEnvCfg(TaskEnvCfg):
    """What the tasks of all robots on legs can be told; a robot's own settings are added in its file.

    The layout's term ``last_action`` is as long as the action.
    """

    physics_presets: ClassVar[type[HandPhysicsCfg]] = LegsPhysicsCfg

    scene: Any = MISSING
    """Assets, a :class:`LegsSceneCfg`."""

    joint_velocity_noise: float = setting(0.1, at_least=0.0)
    """Largest joint velocity at a reset [rad/s]."""

    camera_eye: Vec3 = setting((2.2, -2.2, 1.2))
    """Where a camera stands [m], environment frame."""

    camera_lookat: Vec3 = setting((0.0, 0.0, 0.4))
    """Where it looks [m], environment frame."""

    def derived(self) -> dict[str, Any]:
        """The sizes of observation and action, which the layout gives."""
        sizes = {term.name: term.size for term in self.layout()}
        # no separate critic observation: the critic reads the same numbers
        return {**super().derived(), "action_space": sizes["last_action"], "state_space": 0}

    def joints(self) -> tuple[str, ...]:
        """Joints in the order of observation and action, which the robot's file must hold."""
        raise NotImplementedError

    def links(self) -> tuple[str, ...]:
        """Links that the robot's file must hold besides its joints."""
        raise NotImplementedError

    def check_settings(self) -> None:
        """Refuse settings that cannot work or have no effect.

        Raises:
            UserError: Naming the first one.
        """
        refuse_changed(self, ["object_speed_limit", "object_spin_limit"], "in a task without an object")

    def check_robots(self) -> None:
        """Refuse a robot whose file lacks joints or links that the task names.

        Raises:
            UserError: Naming them.
        """
        check_robot("env.scene.robot", self.scene.robot, self.joints(), self.links())
