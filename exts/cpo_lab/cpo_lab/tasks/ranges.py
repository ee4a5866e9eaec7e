# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Ranges of the fields that Isaac Lab's and rsl_rl's configurations declare without one.

Engines divide by a time step of zero, wait forever for a billion iterations and ask for more memory than there is; what
they say then, if anything, names no setting. Fields of our own say beside their default what they accept
(:func:`cpo_rl.fields.setting`).
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from cpo_lab.tasks.kinds import ANY, Kind, field_kind, told_kind
from cpo_rl.config import EnsembleCfg, ModelCfg
from cpo_rl.errors import UserError
from cpo_rl.fields import LARGEST, Limits, declarations, limits_of

_COUNT = Limits(at_least=1, at_most=2**31 - 1)
_TIMES = Limits(at_least=1, at_most=1000)
_SHARE = Limits(at_least=0.0, at_most=1.0)
_POSITIVE = Limits(above=0.0, at_most=1.0e9)
_SIGNED = Limits(at_least=-1.0e6, at_most=1.0e6)

RANGES: dict[str, Limits] = {
    # time
    "dt": Limits(above=0.0, at_most=1.0),
    "decimation": _TIMES,
    "render_interval": _TIMES,
    "num_substeps": _TIMES,
    "episode_length_s": Limits(above=0.0, at_most=1.0e6),
    "num_rerenders_on_reset": Limits(at_least=0, at_most=1000),
    # solvers
    "iterations": Limits(at_least=1, at_most=10_000),
    "ls_iterations": Limits(at_least=1, at_most=10_000),
    "ccd_iterations": Limits(at_least=1, at_most=10_000),
    "collision_decimation": Limits(at_least=0, at_most=1000),
    "update_data_interval": _TIMES,
    "solver_position_iteration_count": Limits(at_least=1, at_most=255),
    "solver_velocity_iteration_count": Limits(at_least=0, at_most=255),
    "njmax": Limits(at_least=1, at_most=100_000),
    "nconmax": Limits(at_least=1, at_most=100_000),
    "impratio": _POSITIVE,
    "tolerance": Limits(above=0.0, at_most=1.0),
    "solver": Limits(choices=("newton", "cg")),
    "integrator": Limits(choices=("euler", "rk4", "implicitfast")),
    "cone": Limits(choices=("pyramidal", "elliptic")),
    "solver_type": Limits(choices=("mujoco_warp",)),
    # bodies
    "mass": _POSITIVE,
    "density": _POSITIVE,
    "size": Limits(above=0.0, at_most=1.0e4),
    "scale": Limits(above=0.0, at_most=1.0e4),
    "width": Limits(above=0.0, at_most=1.0e6),
    "contact_offset": Limits(at_least=0.0, at_most=1.0),
    "rest_offset": Limits(at_least=-1.0, at_most=1.0),
    "restitution": _SHARE,
    "soft_joint_pos_limit_factor": Limits(above=0.0, at_most=10.0),
    "collision_group": Limits(at_least=-1, at_most=0),
    # appearance
    "diffuse_color": _SHARE,
    "emissive_color": Limits(at_least=0.0, at_most=1.0e6),
    "color": _SHARE,
    "roughness": _SHARE,
    "metallic": _SHARE,
    "opacity": _SHARE,
    "resolution": Limits(at_least=1, at_most=16_384),
    # rsl_rl
    "clip_actions": Limits(above=0.0),
    "init_std": Limits(above=0.0, at_most=1.0e3),
    "init_noise_std": Limits(above=0.0, at_most=1.0e3),
    "std_range": Limits(above=0.0),
    "schedule": Limits(choices=("adaptive", "fixed")),
    **{name: _SIGNED for name in ("gravity", "pos", "rot", "lin_vel", "ang_vel", "joint_pos", "joint_vel")},
    **{name: _SIGNED for name in ("eye", "lookat", "streaming_cam_eye", "tiled_cam_eye", "world_spacing")},
}
"""What fields accept, by name, in whatever configuration they stand; of a list or dictionary every number in it."""

_PRIM = re.compile(r"(/|\{ENV_REGEX_NS\}/)[A-Za-z_{][\w/.*{}]*")
_PRIM_BELOW = re.compile(r"[A-Za-z_/{][\w/.*{}]*")

PATTERNS: dict[str, tuple[re.Pattern[str], str]] = {
    **dict.fromkeys(
        ("prim_path", "physics_prim_path", "cam_prim_path", "clone_template", "articulation_root_prim_path"),
        (_PRIM, "be the path of a prim, such as {ENV_REGEX_NS}/Robot"),
    ),
    **dict.fromkeys(
        ("spawn_path", "visual_material_path", "physics_material_path"),
        (_PRIM_BELOW, "be the path of a prim, such as material"),
    ),
    "experiment_name": (
        re.compile(r"(?!\.)[\w.\-]{1,100}(/(?!\.)[\w.\-]{1,100})*"),
        "consist of letters, digits, '.', '-' and '_', because it names a folder below the log root",
    ),
}
"""How texts are written, by field, and what to say of others."""

_CHECKED = ("isaaclab", "rsl_rl")
"""Beginnings of the packages whose configurations declare no ranges."""


def range_of(owner: type, name: str, before: Any) -> Limits:
    """What a field accepts besides its kind; nothing is ruled out where the field itself says what it accepts.

    Args:
        owner: Class of the configuration that holds it.
        name: The field.
        before: Its value before it was set: a count is never 0 unless its default is, and a number is not negative
            unless the field is one of those that have a sign.
    """
    if name in declarations(owner):
        return Limits()
    if name in RANGES:
        return RANGES[name]
    if owner.__module__.startswith("isaaclab_rl."):
        return {**limits_of(EnsembleCfg), **limits_of(ModelCfg)}.get(name, Limits())
    if not _is_foreign(owner, name):
        return Limits()
    if isinstance(before, int) and not isinstance(before, bool):
        return _COUNT if before > 0 else Limits(at_least=0, at_most=2**31 - 1)
    return Limits(at_least=0.0, at_most=LARGEST if name.startswith("max_") else 1.0e9)


def _is_foreign(owner: type, name: str) -> bool:
    """Whether Isaac Lab or rsl_rl declares a field of a class, which may be derived from theirs."""
    for base in owner.__mro__:
        if name in vars(base).get("__configclass_own_fields__", ()):
            return base.__module__.startswith(_CHECKED)
    return False


def wrong(owner: type, name: str, kind: Kind, before: Any, value: Any) -> str | None:
    """What a value must be instead, as it follows "must"; None if the field accepts it.

    Args:
        owner: Class of the configuration that holds the field.
        name: The field.
        kind: Its kind, or that of an entry of it.
        before: Value before it was set.
        value: The value.
    """
    kind = told_kind(kind, before)
    if not kind.holds(value) or (isinstance(value, str) and not value.strip() and before):
        return f"be {kind.words or 'left as it is, because no text stands for its value'}"
    return out_of_range(owner, name, before, value)


def out_of_range(owner: type, name: str, before: Any, value: Any) -> str | None:
    """What a value of the right kind must be instead, see :func:`wrong`."""
    limits = range_of(owner, name, before)
    if not all(limits.allow(number) for number in _ranged(value, limits)):
        return limits.rule
    if name in PATTERNS and isinstance(value, str) and not PATTERNS[name][0].fullmatch(value):
        return PATTERNS[name][1]
    if name == "rot" and abs(math.hypot(*value) - 1.0) > 0.01:
        return "be a quaternion of length 1"
    return None


def check_ranges(cfg: Any, where: str) -> None:
    """Refuse the first field of a configuration whose value is out of range.

    Args:
        cfg: The configuration.
        where: Its place, such as ``env``.

    Raises:
        UserError: Naming it.
    """
    for path, owner, name, _, value in leaves(cfg, where):
        rule = out_of_range(owner, name, value, value)
        if rule is not None:
            raise UserError(f"{path}={value!r} must {rule}.")


def _ranged(value: Any, limits: Limits) -> Iterator[Any]:
    """Numbers in a value, and texts if there are choices."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for entry in value:
            yield from _ranged(entry, limits)
    elif isinstance(value, str) if limits.choices else isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def leaves(cfg: Any, where: str) -> Iterator[tuple[str, type, str, Kind, Any]]:
    """Yield everything in a configuration that has a value of its own.

    Args:
        cfg: The configuration.
        where: Its place, such as ``env``.

    Yields:
        Place, class of the configuration that holds the field, the field, its kind or that of the entry, its value.
    """
    for each in dataclasses.fields(cfg):
        value = getattr(cfg, each.name)
        if value is not dataclasses.MISSING:
            owner = type(cfg)
            yield from _entries(value, f"{where}.{each.name}", owner, each.name, field_kind(owner, each.name))


def _entries(value: Any, path: str, owner: type, name: str, kind: Kind) -> Iterator[tuple[str, type, str, Kind, Any]]:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from leaves(value, path)
    elif isinstance(value, Mapping) and value:
        for key, entry in value.items():
            yield from _entries(entry, f"{path}.{key}", owner, name, kind.part(str(key)))
    elif isinstance(value, list | tuple) and any(dataclasses.is_dataclass(entry) for entry in value):
        for index, entry in enumerate(value):
            yield from _entries(entry, f"{path}.{index}", owner, name, ANY)
    else:
        yield path, owner, name, kind, value
