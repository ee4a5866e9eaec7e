# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""How the frames of joints stand in the links that they carry, for sensors that tell forces in the frames of joints."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from cpo_rl.errors import UserError


def joint_frames(root: str, links: Sequence[str], otherwise: str = "give the path of another file") -> torch.Tensor:
    """Return how the frames of joints stand in the links that they carry, from the stage.

    Isaac Lab reports a joint's wrench in the joint's frame, and each file chooses these frames.

    Args:
        root: Path of one robot on the stage.
        links: Names of the links.
        otherwise: What helps where the file has none.

    Returns:
        Rotations from joint to link, shape [len(links), 3, 3].

    Raises:
        UserError: If no joint carries a link, or one that does not turn about the X axis of its frame, about which
            engines then disagree.
    """
    from isaaclab.sim.utils.stage import get_current_stage
    from pxr import Gf, Usd, UsdPhysics

    frames = {}
    prims = Usd.PrimRange(get_current_stage().GetPrimAtPath(root), Usd.TraverseInstanceProxies())
    for prim in prims:
        joint = UsdPhysics.RevoluteJoint(prim)
        carried = joint.GetBody1Rel().GetTargets() if joint else []
        if not carried or carried[0].name not in links:
            continue
        if joint.GetAxisAttr().Get() != "X":
            raise UserError(
                f"The wrench of {carried[0].name} is observed from a joint that turns about X, and {prim.GetName()} of "
                f"the robot's file does not; {otherwise}."
            )
        # USD multiplies row vectors, hence the transpose
        matrix = Gf.Matrix3d(joint.GetLocalRot1Attr().Get())
        frames[carried[0].name] = torch.tensor([list(row) for row in matrix], dtype=torch.float32).T
    loose = [link for link in links if link not in frames]
    if loose:
        raise UserError(
            f"The wrench of {', '.join(loose)} is observed from a joint that carries it, and the file has none; "
            f"{otherwise}."
        )
    return torch.stack([frames[link] for link in links])
