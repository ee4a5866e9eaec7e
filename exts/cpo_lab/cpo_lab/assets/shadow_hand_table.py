# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Shadow Dexterous Hand: frames, inertias, colliders, limits, motors, tendons.

The numbers are those of the OpenAI / Kumar MJCF model that the reference environments load (IsaacGymEnvs,
``assets/mjcf/open_ai_assets/hand/{robot,shared}.xml``; see NOTICE), with its names. Its colliders are primitives except
for the hull of the forearm, which is a box here. Metres, kilograms, radians, quaternions xyzw.
"""

from __future__ import annotations

from dataclasses import replace

from cpo_lab.assets.robot_table import FixedTendon, Joint, Link, Robot, box, capsule

# fmt: off
LINKS = (
    Link("forearm", None, position=(0.0, 0.0, 0.0), mass=4.0,
         center_of_mass=(0.001, -0.002, 0.29), inertia=(0.01, 0.01, 0.0075),
         inertia_orientation=(-0.0160006, 0.0, -0.1880071, 0.9820373),
         shapes=(box((0.05, 0.05, 0.11), (0.0, 0.01, 0.13)),)),
    Link("wrist", "forearm", position=(0.0, 0.0, 0.256), mass=0.3,
         center_of_mass=(0.003, 0.0, 0.016), inertia=(0.001, 0.001, 0.001),
         inertia_orientation=(0.4962301, 0.4952296, 0.5042338, 0.5042338),
         shapes=(capsule(0.015, 0.01, (0.0, 0.0, 0.0), (0.7071068, 0.0, 0.0, 0.7071068)),)),
    Link("palm", "wrist", position=(0.0, 0.0, 0.034), mass=0.3,
         center_of_mass=(0.006, 0.0, 0.036), inertia=(0.001, 0.001, 0.001),
         inertia_orientation=(0.0439898, 0.0749825, 0.6928386, 0.7158332),
         shapes=(box((0.032, 0.0111, 0.049), (0.011, 0.0, 0.038)),
                 box((0.011, 0.0111, 0.025), (-0.032, 0.0, 0.014)))),
    Link("ffknuckle", "palm", position=(0.033, 0.0, 0.095), mass=0.008,
         center_of_mass=(0.0, 0.0, 0.0), inertia=(1e-05, 1e-05, 1e-05),
         inertia_orientation=(0.8541021, 0.0060007, -0.0030004, 0.5200622)),
    Link("ffproximal", "ffknuckle", position=(0.0, 0.0, 0.0), mass=0.014,
         center_of_mass=(0.0, 0.0, 0.023), inertia=(1e-05, 1e-05, 1e-05),
         inertia_orientation=(-0.0040005, 0.0040005, 0.7070955, 0.7070955),
         shapes=(capsule(0.01, 0.0225, (0.0, 0.0, 0.0225)),)),
    Link("ffmiddle", "ffproximal", position=(0.0, 0.0, 0.045), mass=0.012,
         center_of_mass=(0.0, 0.0, 0.011), inertia=(1e-05, 1e-05, 1e-05),
         inertia_orientation=(0.0, 0.0, 0.7071068, 0.7071068),
         shapes=(capsule(0.00805, 0.0125, (0.0, 0.0, 0.0125)),)),
    Link("ffdistal", "ffmiddle", position=(0.0, 0.0, 0.025), mass=0.01,
         center_of_mass=(0.0, 0.0, 0.015), inertia=(1e-05, 1e-05, 1e-05),
         inertia_orientation=(-0.0030004, 0.0030004, 0.7071004, 0.7071004),
         shapes=(capsule(0.00705, 0.012, (0.0, 0.0, 0.012)),)),
    Link("mfknuckle", "palm", position=(0.011, 0.0, 0.099), mass=0.008,
         center_of_mass=(0.0, 0.0, 0.0), inertia=(1e-05, 1e-05, 1e-05),
         inertia_orientation=(0.8541021, 0.0060007, -0.0030004, 0.5200622)),
    Link("mfproximal", "mfknuckle", position=(0.0, 0.0, 0.0), mass=0.014,
         center_of_mass=(0.0, 0.0, 0.023), inertia=(1e-05, 1e-05, 1e-05),
         inertia_orientation=(-0.0040005, 0.0040005, 0.7070955, 0.7070955),
         shapes=(capsule(0.01, 0.0225, (0.0, 0.0, 0.0225)),)),
    Link("mfmiddle", "mfproximal", position=(0.0, 0.0, 0.045), mass=0.012,
         center_of_mass=(0.0, 0.0, 0.012), inertia=(1e-05, 1e-05, 1e-05),
         inertia_orientation=(0.0, 0.0, 0.7071068, 0.7071068),
         shapes=(capsule(0.00805, 0.0125, (0.0, 0.0, 0.0125)),)),
    Link("mfdistal", "mfmiddle", position=(0.0, 0.0, 0.025), mass=0.01,
         center_of_mass=(0.0, 0.0, 0.015), inertia=(1e-05, 1e-05, 1e-05),
         inertia_orientation=(-0.0030004, 0.0030004, 0.7071004, 0.7071004),
         shapes=(capsule(0.00705, 0.012, (0.0, 0.0, 0.012)),)),
    Link("rfknuckle", "palm", position=(-0.011, 0.0, 0.095), mass=0.008,
         center_of_mass=(0.0, 0.0, 0.0), inertia=(1e-05, 1e-05, 1e-05),
         inertia_orientation=(0.8541021, 0.0060007, -0.0030004, 0.5200622)),
    Link("rfproximal", "rfknuckle", position=(0.0, 0.0, 0.0), mass=0.014,
         center_of_mass=(0.0, 0.0, 0.023), inertia=(1e-05, 1e-05, 1e-05),
         inertia_orientation=(-0.0040005, 0.0040005, 0.7070955, 0.7070955),
         shapes=(capsule(0.01, 0.0225, (0.0, 0.0, 0.0225)),)),
    Link("rfmiddle", "rfproximal", position=(0.0, 0.0, 0.045), mass=0.012,
         center_of_mass=(0.0, 0.0, 0.012), inertia=(1e-05, 1e-05, 1e-05),
         inertia_orientation=(0.0, 0.0, 0.7071068, 0.7071068),
         shapes=(capsule(0.00805, 0.0125, (0.0, 0.0, 0.0125)),)),
    Link("rfdistal", "rfmiddle", position=(0.0, 0.0, 0.025), mass=0.01,
         center_of_mass=(0.0, 0.0, 0.015), inertia=(1e-05, 1e-05, 1e-05),
         inertia_orientation=(-0.0030004, 0.0030004, 0.7071004, 0.7071004),
         shapes=(capsule(0.00705, 0.012, (0.0, 0.0, 0.012)),)),
    Link("lfmetacarpal", "palm", position=(-0.017, 0.0, 0.044), mass=0.075,
         center_of_mass=(-0.014, 0.001, 0.014), inertia=(1e-05, 1e-05, 1e-05),
         inertia_orientation=(-0.0920216, -0.0630148, 0.6961636, 0.7091667),
         shapes=(box((0.0095, 0.0111, 0.025), (-0.0165, 0.0, 0.01)),)),
    Link("lfknuckle", "lfmetacarpal", position=(-0.017, 0.0, 0.044), mass=0.008,
         center_of_mass=(0.0, 0.0, 0.0), inertia=(1e-05, 1e-05, 1e-05),
         inertia_orientation=(0.8541021, 0.0060007, -0.0030004, 0.5200622)),
    Link("lfproximal", "lfknuckle", position=(0.0, 0.0, 0.0), mass=0.014,
         center_of_mass=(0.0, 0.0, 0.023), inertia=(1e-05, 1e-05, 1e-05),
         inertia_orientation=(-0.0040005, 0.0040005, 0.7070955, 0.7070955),
         shapes=(capsule(0.01, 0.0225, (0.0, 0.0, 0.0225)),)),
    Link("lfmiddle", "lfproximal", position=(0.0, 0.0, 0.045), mass=0.012,
         center_of_mass=(0.0, 0.0, 0.012), inertia=(1e-05, 1e-05, 1e-05),
         inertia_orientation=(0.0, 0.0, 0.7071068, 0.7071068),
         shapes=(capsule(0.00805, 0.0125, (0.0, 0.0, 0.0125)),)),
    Link("lfdistal", "lfmiddle", position=(0.0, 0.0, 0.025), mass=0.01,
         center_of_mass=(0.0, 0.0, 0.015), inertia=(1e-05, 1e-05, 1e-05),
         inertia_orientation=(-0.0030004, 0.0030004, 0.7071004, 0.7071004),
         shapes=(capsule(0.00705, 0.012, (0.0, 0.0, 0.012)),)),
    Link("thbase", "palm", position=(0.034, -0.009, 0.029), orientation=(0.0, 0.3824995, 0.0, 0.9239557), mass=0.01,
         center_of_mass=(0.0, 0.0, 0.0), inertia=(1e-05, 1e-05, 1e-05),
         inertia_orientation=(0.0, 0.0, 0.0, 1.0)),
    Link("thproximal", "thbase", position=(0.0, 0.0, 0.0), mass=0.016,
         center_of_mass=(0.0, 0.0, 0.017), inertia=(1e-05, 1e-05, 1e-05),
         inertia_orientation=(0.0, 0.0009996, 0.1909231, 0.9816045),
         shapes=(capsule(0.013, 0.019, (0.0, 0.0, 0.019)),)),
    Link("thhub", "thproximal", position=(0.0, 0.0, 0.038), mass=0.002,
         center_of_mass=(0.0, 0.0, 0.0), inertia=(1e-05, 1e-05, 1e-05),
         inertia_orientation=(0.0, 0.0, 0.0, 1.0)),
    Link("thmiddle", "thhub", position=(0.0, 0.0, 0.0), mass=0.016,
         center_of_mass=(0.0, 0.0, 0.016), inertia=(1e-05, 1e-05, 1e-05),
         inertia_orientation=(-0.001, -0.0069998, 0.0029999, 0.9999705),
         shapes=(capsule(0.011, 0.016, (0.0, 0.0, 0.016)),)),
    Link("thdistal", "thmiddle", position=(0.0, 0.0, 0.032), mass=0.016,
         center_of_mass=(0.0, 0.0, 0.016), inertia=(1e-05, 1e-05, 1e-05),
         inertia_orientation=(-0.0049994, -0.0469939, 0.0049994, 0.9988702),
         shapes=(capsule(0.00918, 0.013, (0.0, 0.0, 0.013)),)),
)
"""25 rigid bodies, 4.911 kg. The palm faces -Y and the fingers point along +Z at zero joint angles."""

JOINTS = (
    Joint("WRJ1", "wrist", axis=(0.0, 1.0, 0.0), lower=-0.489, upper=0.14,
          effort=4.785, damping=0.5, friction=0.001, armature=0.005),
    Joint("WRJ0", "palm", axis=(1.0, 0.0, 0.0), lower=-0.698, upper=0.489,
          effort=2.175, damping=0.5, friction=0.001, armature=0.005),
    Joint("FFJ3", "ffknuckle", axis=(0.0, 1.0, 0.0), lower=-0.349, upper=0.349,
          effort=0.9, damping=0.1, friction=0.001, armature=0.001),
    Joint("FFJ2", "ffproximal", axis=(1.0, 0.0, 0.0), lower=0.0, upper=1.571,
          effort=0.9, damping=0.1, friction=0.001, armature=0.001),
    Joint("FFJ1", "ffmiddle", axis=(1.0, 0.0, 0.0), lower=0.0, upper=1.571,
          effort=0.7245, damping=0.1, friction=0.001, armature=0.001),
    Joint("FFJ0", "ffdistal", axis=(1.0, 0.0, 0.0), lower=0.0, upper=1.571,
          effort=0.0, damping=0.1, friction=0.001, armature=0.001),
    Joint("MFJ3", "mfknuckle", axis=(0.0, 1.0, 0.0), lower=-0.349, upper=0.349,
          effort=0.9, damping=0.1, friction=0.001, armature=0.001),
    Joint("MFJ2", "mfproximal", axis=(1.0, 0.0, 0.0), lower=0.0, upper=1.571,
          effort=0.9, damping=0.1, friction=0.001, armature=0.001),
    Joint("MFJ1", "mfmiddle", axis=(1.0, 0.0, 0.0), lower=0.0, upper=1.571,
          effort=0.7245, damping=0.1, friction=0.001, armature=0.001),
    Joint("MFJ0", "mfdistal", axis=(1.0, 0.0, 0.0), lower=0.0, upper=1.571,
          effort=0.0, damping=0.1, friction=0.001, armature=0.001),
    Joint("RFJ3", "rfknuckle", axis=(0.0, 1.0, 0.0), lower=-0.349, upper=0.349,
          effort=0.9, damping=0.1, friction=0.001, armature=0.001),
    Joint("RFJ2", "rfproximal", axis=(1.0, 0.0, 0.0), lower=0.0, upper=1.571,
          effort=0.9, damping=0.1, friction=0.001, armature=0.001),
    Joint("RFJ1", "rfmiddle", axis=(1.0, 0.0, 0.0), lower=0.0, upper=1.571,
          effort=0.7245, damping=0.1, friction=0.001, armature=0.001),
    Joint("RFJ0", "rfdistal", axis=(1.0, 0.0, 0.0), lower=0.0, upper=1.571,
          effort=0.0, damping=0.1, friction=0.001, armature=0.001),
    Joint("LFJ4", "lfmetacarpal", axis=(0.5709766, 0.0, 0.8209663), lower=0.0, upper=0.785,
          effort=0.9, damping=0.1, friction=0.001, armature=0.001),
    Joint("LFJ3", "lfknuckle", axis=(0.0, 1.0, 0.0), lower=-0.349, upper=0.349,
          effort=0.9, damping=0.1, friction=0.001, armature=0.001),
    Joint("LFJ2", "lfproximal", axis=(1.0, 0.0, 0.0), lower=0.0, upper=1.571,
          effort=0.9, damping=0.1, friction=0.001, armature=0.001),
    Joint("LFJ1", "lfmiddle", axis=(1.0, 0.0, 0.0), lower=0.0, upper=1.571,
          effort=0.7245, damping=0.1, friction=0.001, armature=0.001),
    Joint("LFJ0", "lfdistal", axis=(1.0, 0.0, 0.0), lower=0.0, upper=1.571,
          effort=0.0, damping=0.1, friction=0.001, armature=0.001),
    Joint("THJ4", "thbase", axis=(0.0, 0.0, -1.0), lower=-1.047, upper=1.047,
          effort=2.3722, damping=0.1, friction=0.001, armature=0.001),
    Joint("THJ3", "thproximal", axis=(1.0, 0.0, 0.0), lower=0.0, upper=1.222,
          effort=1.45, damping=0.1, friction=0.001, armature=0.001),
    Joint("THJ2", "thhub", axis=(1.0, 0.0, 0.0), lower=-0.209, upper=0.209,
          effort=0.99, damping=0.1, friction=0.001, armature=0.001),
    Joint("THJ1", "thmiddle", axis=(0.0, 1.0, 0.0), lower=-0.524, upper=0.524,
          effort=0.99, damping=0.1, friction=0.001, armature=0.001),
    Joint("THJ0", "thdistal", axis=(0.0, 1.0, 0.0), lower=-1.571, upper=0.0,
          effort=0.81, damping=0.1, friction=0.001, armature=0.001),
)
"""24 hinges in the order of the observation. J3 spreads a finger, J2, J1 and J0 bend it from base to tip."""

COLLISION_PAIRS = (
    ("ffdistal", "mfdistal"),
    ("ffdistal", "thdistal"),
    ("ffmiddle", "thdistal"),
    ("ffproximal", "mfproximal"),
    ("ffproximal", "thdistal"),
    ("lfdistal", "mfdistal"),
    ("lfdistal", "rfdistal"),
    ("lfdistal", "rfmiddle"),
    ("lfdistal", "thdistal"),
    ("lfmiddle", "rfdistal"),
    ("lfmiddle", "rfmiddle"),
    ("lfproximal", "rfproximal"),
    ("mfdistal", "rfdistal"),
    ("mfdistal", "thdistal"),
    ("mfproximal", "rfproximal"),
    ("mfproximal", "thdistal"),
    ("palm", "thdistal"),
    ("rfdistal", "thdistal"),
)
# fmt: on
"""Pairs of links that touch each other, unless self-collision is switched off."""

PASSIVE_JOINTS = ("FFJ0", "MFJ0", "RFJ0", "LFJ0")
"""Distal joints without a motor, dragged along by the tendons."""

DRIVEN_JOINTS = tuple(joint.name for joint in JOINTS if joint.name not in PASSIVE_JOINTS)
"""The 20 joints with a motor, in the order of the actions."""

ALL_JOINTS = tuple(joint.name for joint in JOINTS)
"""All 24 joints, in the order of the observation."""

FINGERTIPS = ("ffdistal", "mfdistal", "rfdistal", "lfdistal", "thdistal")
"""Distal links: first, middle, ring, little finger, thumb."""

PROPORTIONAL_GAINS = {name: 5.0 if name.startswith("WR") else 1.0 for name in DRIVEN_JOINTS}
"""Position gain of the motors, N m / rad. The joints' own damping is the derivative part."""

TENDON_RATIO = 0.00805 / 0.00705
"""Radians of J0 per radian of J1 (reference: ``shadow_hand.py:255-266``)."""


def _velocity_limit(joint: Joint) -> float:
    """Return the speed at which a joint's damping cancels its motor at an error of the whole range, rad/s.

    The MJCF states no velocity limits, and Shadow Robot's own description (``sr_description``: 2 rad/s, the thumb's tip
    4) describes motors far slower than the MJCF's. No motor can drive a joint faster than this, so only what an impact
    adds is cut off.
    """
    if joint.name in PASSIVE_JOINTS:
        return TENDON_RATIO * _velocity_limit(next(each for each in JOINTS if each.name == f"{joint.name[:2]}J1"))
    return PROPORTIONAL_GAINS[joint.name] / joint.damping * (joint.upper - joint.lower)


TENDONS = tuple(
    FixedTendon(
        name=f"{finger}J1c",
        root_joint=f"{finger}J2",
        coefficients=((f"{finger}J1", -0.00805), (f"{finger}J0", 0.00705)),
        lower=-0.001,
        upper=0.001,
        limit_stiffness=30.0,
        damping=0.1,
    )
    for finger in ("FF", "MF", "RF", "LF")
)
"""J0 follows 1.142 * J1 with a slack of 0.142 rad to both sides (reference: ``shadow_hand.py:255-266``)."""


def shadow_hand(self_collision: bool = True) -> Robot:
    """The table as a :class:`Robot`.

    Args:
        self_collision: Let the pairs of :data:`COLLISION_PAIRS` touch each other; without, no links of the hand
            do.
    """
    return Robot(
        name="shadow_hand",
        links=LINKS,
        joints=tuple(replace(joint, velocity_limit=_velocity_limit(joint)) for joint in JOINTS),
        tendons=TENDONS,
        collision_pairs=COLLISION_PAIRS if self_collision else (),
        angular_damping=0.01,
    )
