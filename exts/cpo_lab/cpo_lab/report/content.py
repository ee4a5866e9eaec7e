# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What a report holds: the drawing fills it in, the page and the files show it."""

from __future__ import annotations

from dataclasses import dataclass, field

from cpo_lab.report.grouping import Group
from cpo_lab.report.kl_maps import KlMaps
from cpo_lab.report.plates import Plate
from cpo_lab.report.reading import Run
from cpo_rl.runs.metric_names import Metric


@dataclass
class Section:
    """Figures under one heading."""

    title: str
    """The heading."""
    plates: list[Plate]
    """Its figures in reading order."""
    notes: list[str] = field(default_factory=list)
    """Sentences about metrics that got no figure."""
    group: Group | None = None
    """The ensemble that it is about, None if it compares groups."""
    maps: KlMaps | None = None
    """The ensemble's KL maps, if it recorded any."""


@dataclass
class TaskReport:
    """Everything the report says about one task."""

    task: str
    """Task id."""
    slug: str
    """Task id in characters that suit file names and anchors."""
    groups: list[Group]
    """Groups of runs of this task."""
    scores: list[Metric]
    """Leader metrics that are compared at the end of training, headline first."""
    curves: list[Metric] = field(default_factory=list)
    """Metrics of which figures show the groups side by side."""
    sections: list[Section] = field(default_factory=list)
    """The figures in reading order."""


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
        return [plate for task in self.tasks for section in task.sections for plate in section.plates]
