# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The class that ``agent.algorithm.class_name`` names: found, checked and built, or refused in one sentence."""

from __future__ import annotations

import contextlib
import inspect
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rsl_rl.utils import resolve_callable

from cpo_rl import contracts
from cpo_rl.errors import UserError


def algorithm_class(name: Any) -> type:
    """Import the class of an algorithm.

    Args:
        name: ``package.module:Class``, or a name that rsl_rl knows, such as ``PPO``.

    Raises:
        UserError: If it cannot be imported, lacks what rsl_rl's runner calls, or has settings that cannot be checked.
    """
    try:
        found = resolve_callable(str(name))
    except Exception as error:  # whatever importing a user's module raises
        raise _refusal(name, f"cannot be imported ({_reason(error)}); correct it or extend PYTHONPATH") from error
    if not isinstance(found, type) or contracts.lacks(found):
        missing = ", ".join(contracts.lacks(found)) if isinstance(found, type) else "a class"
        raise _refusal(name, f"is no algorithm, it lacks {missing}; derive it from cpo_rl.algorithms:EnsemblePPO")
    settings = contracts.settings_class(found)
    if settings is not None and "__dataclass_fields__" not in vars(settings):
        raise _refusal(name, f"has settings that are no dataclass; write @dataclass above {settings.__name__}")
    if settings is not None and "validate" not in dir(settings):
        raise _refusal(name, f"has settings without validate(); derive {settings.__name__} from EnsembleCfg")
    return found


@contextlib.contextmanager
def construction(name: Any) -> Iterator[None]:
    """Turn what an algorithm raises while it is built into one sentence.

    Args:
        name: The class's name, for the sentence.

    Raises:
        UserError: With the reason and its place in the code, if ``construct_algorithm`` raised something else.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        if not any(frame.name == "construct_algorithm" for frame in frames):
            raise
        place = f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}"
        raise _refusal(name, f"cannot be built from this agent's settings ({_reason(error)}, {place})") from error


def own_keywords(found: type) -> dict[str, Any]:
    """Names and defaults of what a class derived from an algorithm of rsl_rl takes besides that algorithm's settings.

    rsl_rl gives an algorithm every entry of its section as a keyword, so these are settings as well.
    """
    base = next((b for b in found.__mro__ if b.__module__.startswith("rsl_rl.")), None)
    if base is None:
        return {}
    known, own = inspect.signature(base).parameters, inspect.signature(found).parameters
    return {n: p.default for n, p in own.items() if n not in known and p.default is not inspect.Parameter.empty}


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip() or 'without a message').splitlines()[0].rstrip('.')}"


def _refusal(name: Any, reason: str) -> UserError:
    return UserError(f"agent.algorithm.class_name={name} {reason}.")
