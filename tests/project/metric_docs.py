# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Makes the tables of metrics in docs/report.md; ``python -m tests.project.metric_docs`` writes them."""

from __future__ import annotations

import re
from pathlib import Path

from cpo_rl.runs.metric_names import EPISODE_QUANTITIES, METRICS, SECTIONS, Metric

DOCUMENT = Path(__file__).parents[2] / "docs" / "report.md"


def metric_tables() -> str:
    """One table per section."""
    parts = []
    for section in SECTIONS:
        rows = [metric for metric in METRICS if metric.section == section]
        if rows:
            head = f"**{section}**\n\n| metric | tag | unit | good | how to read it |\n|---|---|---|---|---|\n"
            parts.append(head + "".join(_row(metric) for metric in rows))
    return "\n".join(parts)


def _row(metric: Metric) -> str:
    meaning = metric.meaning
    if metric.instead_of:
        meaning += f" The report shows it as `{metric.instead_of}` where a run lacks that."
    if metric.shown_with == "env_steps":
        meaning += " In the report: the horizontal axis."
    title = metric.title.replace("{name}", "...")
    cells = (title, f"`{metric.tag}`", metric.unit.replace("{name}", "..."), metric.good or metric.better, meaning)
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"


def quantity_table() -> str:
    """What ``cpo-lab evaluate`` measures."""
    rows = [f"| `{row.tag}` | {row.unit} | {row.better} | {row.meaning} |\n" for row in EPISODE_QUANTITIES]
    rows.append("| others | | | the task's own episode metrics, such as `objective` of the arms |\n")
    return "| quantity | unit | good | meaning |\n|---|---|---|---|\n" + "".join(rows)


def with_tables(text: str) -> str:
    """The document with its tables as they should be."""
    for name, table in (("metrics", metric_tables()), ("quantities", quantity_table())):
        text = _replaced(text, name, table)
    return text


def _replaced(text: str, name: str, table: str) -> str:
    marks = re.compile(rf"(<!-- {name}: [^\n]*-->\n)(.*?)(<!-- end -->)", re.DOTALL)
    assert marks.search(text), f"docs/report.md lacks the marks of its {name}."
    return marks.sub(lambda found: f"{found[1]}{table}{found[3]}", text, count=1)


if __name__ == "__main__":
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
