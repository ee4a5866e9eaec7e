# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Cartpole, Ant and Humanoid where Isaac Lab looks for them, from the files of the packages isaaclab and newton.

The cartpole is NVIDIA's own, from a stage that Isaac Lab carries for its tests. Ant and Humanoid are those of Newton's
examples: the same bodies, and joints with the names that Isaac Lab's tasks ask for.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

from cpo_rl.errors import UserError

CARTPOLE = "Isaac/IsaacLab/Robots/Classic/Cartpole/cartpole.usd"
ANT = "Isaac/Robots/IsaacSim/Ant/ant_instanceable.usd"
HUMANOID = "Isaac/Robots/IsaacSim/Humanoid/humanoid_instanceable.usd"
"""Where Isaac Lab looks for them below the root."""

CARTPOLE_STAGE = (
    "isaaclab",
    "source/isaaclab_tasks/test/golden_stages/registered_tasks_Isaac-Cartpole-Camera-Direct/"
    "default_physics-default_renderer-stage.usda",
)
ANT_FILE = ("newton", "examples/assets/ant.usda")
HUMANOID_FILE = ("newton", "examples/assets/humanoid.usda")
"""Package, and file in it, that each is made from."""

HUMANOID_NAMES = {
    "abdomen_x": "pelvis",
    "right_knee": "right_shin",
    "left_knee": "left_shin",
    "right_elbow": "right_lower_arm",
    "left_elbow": "left_lower_arm",
}
"""Joints that Newton's file names otherwise than Isaac Lab's task, which names a joint after the link it moves."""


def package_file(package: str, path: str) -> Path:
    """Return a file that an installed package carries.

    Raises:
        UserError: If it does not.
    """
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / path).is_file():
            return Path(folder) / path
    raise UserError(f"The installed {package} carries no {path}; the version in constraints.txt does.")


def write_robots(root: Path) -> None:
    """Write the three below a root folder; existing files are replaced.

    Raises:
        UserError: If a package does not carry what they are made from.
    """
    _write(root / CARTPOLE, package_file(*CARTPOLE_STAGE), "/World/envs/env_0/Robot", {})
    _write(root / ANT, package_file(*ANT_FILE), "/ant", {})
    _write(root / HUMANOID, package_file(*HUMANOID_FILE), "/nv_humanoid", HUMANOID_NAMES)


def _write(path: Path, source: Path, prim: str, names: Mapping[str, str]) -> None:
    """Write a file whose root is a prim of another one.

    Args:
        path: File to write.
        source: File to take it from; what its attributes say of remote files is left out.
        prim: The prim.
        names: Joints to rename, old name to new.
    """
    from pxr import Sdf

    from cpo_lab.assets.authoring import new_stage
    from cpo_lab.assets.stand_ins.layers import copy_layer

    path.parent.mkdir(parents=True, exist_ok=True)
    layer = copy_layer(source)
    edit = Sdf.BatchNamespaceEdit()
    for joint in _joints(layer, names):
        edit.Add(Sdf.NamespaceEdit.Rename(joint, names[joint.name]))
    if not layer.Apply(edit):
        raise UserError(f"The joints of {source} cannot be renamed; the version in constraints.txt has others.")
    whole = path.with_name("whole.usda")
    layer.Export(str(whole))
    path.unlink(missing_ok=True)
    stage = new_stage(path, f"/{Path(prim).name}")
    stage.GetDefaultPrim().GetReferences().AddReference(f"./{whole.name}", prim)
    stage.GetRootLayer().Save()


def _joints(layer: object, names: Mapping[str, str]) -> list:
    """Return the paths of the joints that have one of some names."""
    found = []

    def visit(path: object) -> None:
        spec = layer.GetPrimAtPath(path) if path.IsPrimPath() else None  # type: ignore[attr-defined]
        if spec and spec.typeName.startswith("Physics") and spec.typeName.endswith("Joint") and spec.name in names:
            found.append(path)

    layer.Traverse("/", visit)  # type: ignore[attr-defined]
    return found
