# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Observation layouts as tables, shared by the environments, their documentation and exported policies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ObservationTerm:
    """A run of entries in an observation vector."""

    name: str
    """Identifier of the term."""
    size: int
    """Number of entries."""
    description: str
    """What the entries are, in which order and frame."""
    unit: str = ""
    """Unit before scaling; empty for numbers without one."""
    scale: float = 1.0
    """Factor on the physical value."""


def layout_size(terms: Sequence[ObservationTerm]) -> int:
    """Number of entries of the whole observation."""
    return sum(term.size for term in terms)


def layout_slices(terms: Sequence[ObservationTerm]) -> dict[str, slice]:
    """Where each term lies in the observation: name -> slice."""
    slices, start = {}, 0
    for term in terms:
        slices[term.name] = slice(start, start + term.size)
        start += term.size
    return slices


def assemble(terms: Sequence[ObservationTerm], values: dict[str, torch.Tensor], clip: float) -> torch.Tensor:
    """Concatenate ``values`` in the order of ``terms``, scale and clip them.

    Args:
        terms: The layout.
        values: Unscaled value of every term, each [N, term.size].
        clip: Largest magnitude of an entry.

    Returns:
        A new tensor [N, layout_size(terms)].

    Raises:
        KeyError: If a term has no value.
        ValueError: If a value has the wrong size or no term.
    """
    import torch

    parts = []
    for term in terms:
        value = values[term.name]
        if value.shape[-1] != term.size:
            raise ValueError(f"Observation term {term.name!r} has {value.shape[-1]} entries instead of {term.size}.")
        parts.append(value if term.scale == 1.0 else value * term.scale)
    if len(parts) != len(values):
        unknown = sorted(set(values) - {term.name for term in terms})
        raise ValueError(f"The observation layout has no term {unknown[0]!r}.")
    return torch.cat(parts, dim=-1).clamp_(-clip, clip)


def markdown_table(terms: Sequence[ObservationTerm]) -> str:
    """The layout as a Markdown table: offset, size, name, content, unit, scale."""
    rows = ["| offset | size | term | content | unit | scale |", "| --- | --- | --- | --- | --- | --- |"]
    for term, where in zip(terms, layout_slices(terms).values(), strict=True):
        cells = (where.start, term.size, f"`{term.name}`", term.description, term.unit or "-", f"{term.scale:g}")
        rows.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(rows)
