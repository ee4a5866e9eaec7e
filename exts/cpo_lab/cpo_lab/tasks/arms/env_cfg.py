# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings of the arm tasks. Numbers are the reference's (``cfg/task/AllegroKuka*.yaml``, ``allegro_kuka_base.py``)."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from isaaclab.assets import ArticulationCfg, AssetBaseCfg, RigidObjectCfg
from isaaclab.cloner import CloneCfg
from isaaclab.scene import InteractiveSceneCfg
from isaaclab.sim import SimulationCfg
from isaaclab.utils import configclass
from isaaclab_newton.physics import NewtonCfg, NewtonCollisionPipelineCfg

from cpo_lab.assets.allegro import kuka_allegro_cfg
from cpo_lab.assets.cuboid_spawner import cuboid_set_cfg
from cpo_lab.assets.cuboids import object_shapes, round_robin
from cpo_lab.assets.furniture import NARROW_TABLE, WIDE_TABLE, bucket_cfg, ground_cfg, table_cfg
from cpo_lab.assets.kuka_allegro_table import TWO_ARMS_JOINT_4
from cpo_lab.physics.defaults import default_num_envs
from cpo_lab.physics.presets import HandPhysicsCfg, newton_on_cpu, newton_on_cuda
from cpo_lab.tasks.arms.layout import KEYPOINTS, kuka_observations
from cpo_lab.tasks.arms.validation import check, check_robots
from cpo_lab.tasks.base_env import TaskEnvCfg, simulation_cfg
from cpo_lab.tasks.layout import ObservationTerm, layout_size

Vec3 = tuple[float, float, float]


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

    num_envs: int = 0
    """Environments; 0 stands for the task's number for this machine."""

    env_spacing: float = 1.2
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


@configclass
class AllegroKukaEnvCfg(TaskEnvCfg):
    """Fields of all arm tasks; the defaults are those of reorientation with one arm."""

    physics_presets: ClassVar[type[HandPhysicsCfg]] = ArmPhysicsCfg

    no_nucleus_assets: ClassVar[str] = "Isaac Lab does not state where palm and fingertips of NVIDIA's robot lie"

    decimation: int = 2
    """Physics steps per policy step (60 Hz policy, 120 Hz physics)."""

    episode_length: int = 600
    """Policy steps since the start or the last success after which an episode ends, > 0."""

    episode_length_s: float = 0.0
    """Set from ``episode_length``."""

    num_arms: int = 1
    """Arms in the scene, 1 or 2; fixed by the task's scene."""

    action_space: int = 23
    """Per arm: 7 arm joints, then 16 finger joints."""

    observation_space: int = 0
    """Set from the number of arms and keypoints; see :func:`~cpo_lab.tasks.arms.layout.kuka_observations`."""

    state_space: int = 0
    """No separate critic observation."""

    sim: SimulationCfg = simulation_cfg(ArmPhysicsCfg(), decimation=2)
    """Simulation: 120 Hz, friction 1, engine by preset."""

    scene: KukaSceneCfg = KukaSceneCfg()
    """Assets."""

    cpu_num_envs: int = 96
    """Environments on a CPU unless ``--num_envs`` says otherwise, at least 1; a multiple of the 6 policies."""

    observation_clip: float = 10.0
    """Largest magnitude of an observation, > 0."""

    # objects -----------------------------------------------------------------------------------------------------

    object_set: str = "cuboids"
    """``cuboids`` (947), ``small_cuboids`` (654) or ``cube`` (1); see :mod:`cpo_lab.assets.cuboids`."""

    num_objects: int = 0
    """Use only the first so many shapes of the set; 0 uses all. Fewer build faster."""

    keypoints: Literal["center", "corners"] = "corners"
    """Points of the object that must meet the goal's: the middle (a position) or four corners (a pose)."""

    keypoint_scale: float = 1.5
    """Distance of the corners from the middle relative to the object's, and factor of the tolerance, > 0."""

    # control -----------------------------------------------------------------------------------------------------

    arm_control: Literal["integrated", "absolute"] = "integrated"
    """Whether arm actions move the last target, or give the target within the joint limits (two arms)."""

    arm_speed: float = 10.0
    """Speed of the arm's targets at full action [rad/s], > 0; for integrated control."""

    newton_finger_gains: tuple[float, float] = (10.0, 1.0)
    """Stiffness [N m/rad] and damping [N m s/rad] of the fingers on Newton, > 0; elsewhere 40 and 5, the reference's.
    MuJoCo's implicit integration adds damping times the time step to a joint's inertia, also while the torque is at its
    limit, which slows a step of 0.4 rad from 133 to 258 ms; with (10, 1) it takes 142 ms."""

    # reward ------------------------------------------------------------------------------------------------------

    approach_scale: float = 50.0
    """Reward per metre that a fingertip comes closer than ever before."""

    approach_until_lifted: bool = True
    """Whether the approach reward stops once the object is lifted (one arm)."""

    lifting_scale: float = 20.0
    """Reward per metre of height and step until the object is lifted."""

    lifting_bonus: float = 300.0
    """Reward at the moment the object is lifted."""

    lifting_threshold: float = 0.15
    """Height above (start - 0.05 m) that counts as lifted [m], > 0."""

    keypoint_scale_reward: float = 200.0
    """Reward per metre that the keypoints come closer to the goal than before, once lifted."""

    arm_velocity_scale: float = 0.003
    """Penalty per rad/s of arm joint velocity."""

    hand_velocity_scale: float = 0.0003
    """Penalty per rad/s of finger joint velocity."""

    near_goal_bonus: float = 1000.0
    """Reward for a success, paid in ``success_steps`` equal parts."""

    # success, curriculum, end --------------------------------------------------------------------------------------

    success_steps: int = 1
    """Steps near the goal (not necessarily in a row) that make a success, at least 1."""

    initial_tolerance: float = 0.075
    """Tolerance at the start of the curriculum; in metres after multiplication with ``keypoint_scale``, > 0."""

    target_tolerance: float = 0.01
    """Tolerance at its end, > 0; equal to ``initial_tolerance`` for no curriculum."""

    tolerance_factor: float = 0.9
    """Factor of each reduction, 0 to 1."""

    tolerance_interval: int = 3000
    """Policy steps between reductions, at least 1."""

    tolerance_successes: float = 3.0
    """Mean successes per episode, over all environments, that triggers a reduction."""

    max_successes: int = 50
    """Successes that end an episode; 0 for no limit."""

    fall_height: float = 0.1
    """Height below which the object has fallen [m]."""

    max_fingertip_distance: float = 1.5
    """Distance of the furthest fingertip from the object that ends an episode [m]; 0 switches the rule off."""

    # reset and goals -----------------------------------------------------------------------------------------------

    object_noise: Vec3 = (0.1, 0.1, 0.02)
    """Largest displacement of the object at a reset along each axis [m]."""

    object_side: float = 0.0
    """Distance of two alternative start places to the left and right of the middle [m]; 0 for one place."""

    joint_position_noise: float = 0.1
    """Share of the joint range that start positions are drawn from, 0 to 1."""

    joint_velocity_noise: float = 0.5
    """Largest joint velocity at a reset [rad/s]."""

    goal_low: Vec3 = (-0.4, 0.0, 0.68)
    """Lower corner of the box of goals [m]."""

    goal_high: Vec3 = (0.4, 0.35, 1.05)
    """Upper corner of the box of goals [m]."""

    goal_side: float = 0.0
    """Distance of two alternative goal boxes to the left and right [m]; 0 for one box."""

    goal_rotation: bool = True
    """Whether goals have a random orientation."""

    replace_object: bool = False
    """Whether a success puts the object back on the table and forgets that it was lifted."""

    use_bucket: bool = False
    """Whether the goal lies in a bucket that is placed at random (throw)."""

    bucket_goal_height: float = 0.05
    """Height of the goal above the bucket's origin [m]."""

    # random forces -------------------------------------------------------------------------------------------------

    force_scale: float = 2.0
    """Random forces on the object per kilogram [N/kg]; 0 switches them off."""

    force_probability: tuple[float, float] = (0.001, 0.1)
    """Range of the chance of a new force per step; log-uniform per episode, > 0."""

    force_decay: float = 0.99
    """Factor by which forces shrink per ``force_decay_interval``, 0 to 1."""

    force_decay_interval: float = 0.08
    """Time constant of the decay [s], > 0."""

    # pictures ------------------------------------------------------------------------------------------------------

    camera_eye: Vec3 = (1.15, -0.75, 1.25)
    """Where a camera stands [m], environment frame."""

    camera_lookat: Vec3 = (0.0, 0.3, 0.66)
    """Where it looks [m], environment frame."""

    def check(self) -> None:
        """Raise :class:`~cpo_rl.errors.UserError` for a setting that cannot work."""
        check(self)
        super().check()
        check_robots(self)

    def layout(self) -> tuple[ObservationTerm, ...]:
        """The terms of the observation."""
        return kuka_observations(self.num_arms, len(KEYPOINTS[self.keypoints]))

    @classmethod
    def layouts(cls) -> list[tuple[ObservationTerm, ...]]:
        """All layouts that settings of the task can lead to."""
        return [kuka_observations(cls().num_arms, len(points)) for points in KEYPOINTS.values()]

    def num_shapes(self) -> int:
        """Return how many cuboids are dealt out to the environments."""
        return len(object_shapes(self.object_set, self.num_objects or None))

    def __post_init__(self) -> None:
        """Fill in what depends on other fields or on the machine."""
        if self.scene.num_envs == 0:
            self.scene.num_envs = default_num_envs(self)
        self.derive()

    def derive(self) -> None:
        """Set the fields that follow from others; called again when overrides have been applied."""
        self.episode_length_s = self.episode_length / 60.0
        self.action_space = 23 * self.num_arms
        self.observation_space = layout_size(kuka_observations(self.num_arms, len(KEYPOINTS[self.keypoints])))


@configclass
class ReorientKukaEnvCfg(AllegroKukaEnvCfg):
    """Bring cuboids into one pose after the other, ``CpoLab-Reorient-KukaAllegro-Direct``."""


@configclass
class RegraspKukaEnvCfg(AllegroKukaEnvCfg):
    """Lift cuboids to one place after the other, ``CpoLab-Regrasp-KukaAllegro-Direct``."""

    episode_length: int = 400
    keypoints: Literal["center", "corners"] = "center"
    success_steps: int = 30
    goal_rotation: bool = False
    replace_object: bool = True
    max_fingertip_distance: float = 0.0


@configclass
class ThrowKukaEnvCfg(AllegroKukaEnvCfg):
    """Throw cuboids into a bucket, ``CpoLab-Throw-KukaAllegro-Direct``."""

    scene: KukaSceneCfg = ThrowSceneCfg()
    episode_length: int = 300
    object_set: str = "small_cuboids"
    keypoints: Literal["center", "corners"] = "center"
    success_steps: int = 5
    target_tolerance: float = 0.075
    goal_rotation: bool = False
    replace_object: bool = True
    use_bucket: bool = True
    camera_eye: Vec3 = (1.5, -1.3, 1.5)
    force_scale: float = 0.0
    max_fingertip_distance: float = 0.0


@configclass
class ReorientDualKukaEnvCfg(AllegroKukaEnvCfg):
    """Bring cuboids into one pose after the other with two arms, ``CpoLab-Reorient-DualKukaAllegro-Direct``."""

    physics_presets: ClassVar[type[HandPhysicsCfg]] = TwoArmsPhysicsCfg

    sim: SimulationCfg = simulation_cfg(TwoArmsPhysicsCfg(), decimation=2)
    scene: KukaSceneCfg = TwoArmsSceneCfg()
    num_arms: int = 2
    arm_control: Literal["integrated", "absolute"] = "absolute"
    approach_until_lifted: bool = False
    arm_velocity_scale: float = 0.0
    hand_velocity_scale: float = 0.0
    max_fingertip_distance: float = 0.0
    object_side: float = 0.35
    goal_low: Vec3 = (-0.2, -0.5, 0.68)
    goal_high: Vec3 = (0.2, 0.5, 1.05)
    goal_side: float = 0.75
    camera_eye: Vec3 = (0.6, -2.1, 1.6)
    camera_lookat: Vec3 = (0.0, 0.05, 0.6)


@configclass
class RegraspDualKukaEnvCfg(ReorientDualKukaEnvCfg):
    """Lift cuboids to one place after the other with two arms, ``CpoLab-Regrasp-DualKukaAllegro-Direct``."""

    episode_length: int = 400
    keypoints: Literal["center", "corners"] = "center"
    success_steps: int = 30
    goal_rotation: bool = False
    replace_object: bool = True
