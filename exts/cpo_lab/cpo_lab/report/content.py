# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What a report holds: the drawing fills it in, the page and the files show it."""

from __future__ import annotations

from dataclasses import dataclass, field

from cpo_lab.report.curves import CurveSpec, Plate
from cpo_lab.report.ensemble import KlMaps
from cpo_lab.report.grouping import Group
from cpo_lab.report.reading import Run


@dataclass
class TaskReport:
    """Everything the report says about one task."""

    task: str
    """Task id."""
    slug: str
    """Task id in characters that suit file names and anchors."""
    groups: list[Group]
    """Groups of runs of this task."""
    scores: list[CurveSpec]
    """Leader metrics that are compared at the end of training, headline first."""
    sections: list[tuple[str, list[Plate]]] = field(default_factory=list)
    """Section title and its plates, in reading order."""
    maps: list[tuple[Group, KlMaps]] = field(default_factory=list)
    """KL maps per ensemble that recorded them."""


@dataclass
class Report:
    """A drawn report."""

    title: str
    """Heading of the page."""
    runs: list[Run]
    """All runs, readable or not."""
    tasks: list[TaskReport]
    """One entry per task."""

    @property
    def plates(self) -> list[Plate]:
        """All plates in reading order."""
        return [plate for task in self.tasks for _, plates in task.sections for plate in plates]
