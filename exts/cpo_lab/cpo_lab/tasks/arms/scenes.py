# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Scenes of the arm tasks, and engines with room for their contacts."""

from __future__ import annotations

import math

from isaaclab.assets import ArticulationCfg, AssetBaseCfg, RigidObjectCfg
from isaaclab.cloner import CloneCfg
from isaaclab.scene import InteractiveSceneCfg
from isaaclab.utils import configclass
from isaaclab_newton.physics import NewtonCfg, NewtonCollisionPipelineCfg

from cpo_lab.assets.allegro import kuka_allegro_cfg
from cpo_lab.assets.cuboid_spawner import cuboid_set_cfg
from cpo_lab.assets.cuboids import round_robin
from cpo_lab.assets.furniture import NARROW_TABLE, WIDE_TABLE, bucket_cfg, ground_cfg, table_cfg
from cpo_lab.assets.kuka_allegro_table import TWO_ARMS_JOINT_4
from cpo_lab.physics.presets import HandPhysicsCfg, newton_on_cpu, newton_on_cuda
from cpo_rl.fields import setting


def _own_contacts(physics: NewtonCfg, rigid_contact_max: int | None = None) -> NewtonCfg:
    """Let Newton's collision pipeline find the contacts instead of the MuJoCo solver.

    The solver's own broad phase takes the bounding boxes of the first environment's shapes for all environments, so an
    object that is larger than the first one sinks into the table by the difference (measured: 47 mm).

    Args:
        physics: Settings to change in place.
        rigid_contact_max: Room for contacts of all environments together; None lets Newton choose.
    """
    physics.solver_cfg.use_mujoco_contacts = False
    physics.collision_cfg = NewtonCollisionPipelineCfg(rigid_contact_max=rigid_contact_max)
    return physics


@configclass
class ArmPhysicsCfg(HandPhysicsCfg):
    """Engines with room for the contacts of an arm, a table, an object of up to 0.3 m and a bucket."""

    newton_mjwarp: NewtonCfg = _own_contacts(newton_on_cuda(njmax=300, nconmax=200), rigid_contact_max=4_000_000)
    newton_mjwarp_cpu: NewtonCfg = _own_contacts(newton_on_cpu(njmax=300, nconmax=200))


@configclass
class TwoArmsPhysicsCfg(HandPhysicsCfg):
    """Engines with room for the contacts of two arms."""

    newton_mjwarp: NewtonCfg = _own_contacts(newton_on_cuda(njmax=600, nconmax=400), rigid_contact_max=8_000_000)
    newton_mjwarp_cpu: NewtonCfg = _own_contacts(newton_on_cpu(njmax=600, nconmax=400))


@configclass
class KukaSceneCfg(InteractiveSceneCfg):
    """One arm before a narrow table with an object on it."""

    num_envs: int = setting(0, at_least=0)
    """Environments; 0 stands for the task's number for this machine."""

    env_spacing: float = setting(1.2, above=0.0, at_most=1000.0)
    """Distance between environments [m]."""

    clone_cfg: CloneCfg = CloneCfg(clone_strategy=round_robin)
    """Deals objects out in turn, so that every policy of an ensemble sees all of them."""

    ground: AssetBaseCfg = ground_cfg()
    """The ground."""

    table: AssetBaseCfg = table_cfg(NARROW_TABLE)
    """The table."""

    robot: ArticulationCfg = kuka_allegro_cfg(position=(0.0, 0.8, 0.0))
    """The arm with the hand."""

    object: RigidObjectCfg = cuboid_set_cfg(position=(0.0, 0.0, 0.63))
    """The cuboid; its shapes come from ``object_set``."""


@configclass
class ThrowSceneCfg(KukaSceneCfg):
    """One arm, a table and a bucket beside it."""

    bucket: RigidObjectCfg = bucket_cfg()
    """The bucket that the object goes into."""


@configclass
class TwoArmsSceneCfg(KukaSceneCfg):
    """Two arms facing each other across a wide table."""

    env_spacing: float = 1.75
    """Distance between environments [m]."""

    table: AssetBaseCfg = table_cfg(WIDE_TABLE)
    """The table."""

    robot: ArticulationCfg = kuka_allegro_cfg(position=(-1.1, 0.0, 0.0), yaw=math.pi / 2, joint_4=TWO_ARMS_JOINT_4)
    """The left arm."""

    robot_2: ArticulationCfg = kuka_allegro_cfg(
        position=(1.1, 0.0, 0.0), yaw=-math.pi / 2, joint_4=TWO_ARMS_JOINT_4, prim_path="{ENV_REGEX_NS}/Robot2"
    )
    """The right arm."""
