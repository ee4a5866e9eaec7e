# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A metric that the table does not know takes one line where it is measured, and appears everywhere by itself."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tests.cpo_lab.report.synthetic_runs import add_columns, write_run
from tests.cpo_rl.runners.support import NoisyTrackingEnv, ensemble_cfg, make_env, make_runner, stock_ppo_cfg

from cpo_lab.report.build import build_report, write_report
from cpo_lab.report.sections import MOST_OWN
from cpo_rl.runs.metric_names import METRICS, find
from cpo_rl.runs.tables import AXES, read_metrics

LOSS, ALGORITHM, TASK, SHORT, EPISODE = "Loss/my_term", "My/gap", "Task/tilt", "Task/speed", "Leader/closest"


class MeasuringEnv(NoisyTrackingEnv):
    """Tracking that reports values of its own."""

    def step(self, actions):
        observations, rewards, dones, extras = super().step(actions)
        extras["log"]["Task/tilt"] = rewards.mean()
        extras["log"]["speed"] = rewards.max()
        extras["episode_metrics"]["closest"] = rewards
        return observations, rewards, dones, extras


def train(folder, cfg, tags=(LOSS, ALGORITHM)):
    """A run of an algorithm that adds metrics to those it returns from an update."""
    runner = make_runner(cfg, folder, make_env(MeasuringEnv))
    update, count = runner.alg.update, iter(range(100))

    def measured():
        number = next(count)
        return {**update(), **{tag: float(number + k) for k, tag in enumerate(tags)}}

    runner.alg.update = measured
    runner.learn(4)
    return folder


def charts_of(folder):
    """Tags in a run's event log, and the patterns of its charts."""
    events = EventAccumulator(str(folder))
    events.Reload()
    content = events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0]
    layout = layout_pb2.Layout.FromString(content)
    patterns = [tag for category in layout.category for chart in category.chart for tag in chart.multiline.tag]
    return events.Tags()["scalars"], patterns


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return {
        "cpo": train(root / "cpo", ensemble_cfg()),
        "ppo": train(root / "ppo", ensemble_cfg("ppo", num_policies=1)),
        "stock": train(root / "stock", stock_ppo_cfg(), ("my_term", ALGORITHM)),
    }


@pytest.mark.parametrize("name", ["cpo", "ppo", "stock"])
def test_every_metric_of_a_run_is_in_its_table_its_charts_and_its_report(runs, tmp_path, name):
    folder = runs[name]
    columns = set(read_metrics(folder / "metrics.csv")) - set(AXES)
    assert {LOSS, ALGORITHM, TASK, SHORT} <= columns
    assert (EPISODE in columns) == (name != "stock")

    scalars, patterns = charts_of(folder)
    assert columns == set(scalars)
    for tag in columns:
        assert sum(re.match(pattern, tag) is not None for pattern in patterns) == 1, f"{tag} has not one chart"

    report = build_report([folder])
    write_report(report, tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    plates = " ".join(plate.title.lower() for plate in report.plates if not plate.is_empty)
    for tag in columns:
        metric = find(tag)
        ours = find(metric.instead_of) if metric.instead_of else metric
        if not ours.shown_with:
            title = ours.title.lower()
            assert title in plates or title in page.lower(), f"{tag} is not in the report"
    assert len({plate.key for plate in report.plates}) == len(report.plates)
    titles = [plate.title for plate in report.plates]
    assert len(set(titles)) == len(titles), "a metric has two figures"


def test_what_has_no_figure_of_its_own_stands_in_another_one():
    assert {metric.tag: metric.shown_with for metric in METRICS if metric.shown_with} == {
        "Discriminator/chance": "Discriminator/accuracy",
        "Perf/total_env_steps": "env_steps",
    }


def test_own_metrics_have_figures_under_a_heading_that_fits(runs):
    sections = {section.title: section for section in build_report([runs["cpo"]]).tasks[0].sections}
    titles = {title: [plate.title for plate in section.plates] for title, section in sections.items()}
    assert "Loss: my term" in titles["Losses"]
    assert "My gap" in titles["More metrics"]
    assert {"Task tilt", "Task speed"} <= set(titles["Task"])
    assert "Leader closest" in titles["Leader"]
    assert any(title.endswith("closest of each policy") for title in titles["CPO: its policies"])


def test_hundreds_of_own_metrics_are_listed_and_cost_a_dozen_figures(tmp_path):
    report = build_report([write_run(tmp_path, "ppo", iterations=5, extra_columns=200)])
    task = next(section for section in report.tasks[0].sections if section.title == "Task")
    assert len(task.plates) == MOST_OWN
    assert f"{200 - MOST_OWN} more are in metrics.csv" in task.notes[0] and "Task/extra_99" not in task.notes[0]


def test_a_value_that_never_changes_is_told_in_words(tmp_path):
    folder = write_run(tmp_path, "ppo", iterations=5)
    add_columns(folder, {"Optimization/skipped_updates": "0", "Task/tolerance": "0.25"})
    sections = {section.title: section for section in build_report([folder]).tasks[0].sections}
    assert sections["Optimization"].notes == ["Constant throughout: Skipped updates 0."]
    assert sections["Task"].notes == ["Constant throughout: Task tolerance 0.25."]
    assert sections["Task"].plates == []


def test_strange_tags_harm_neither_figure_nor_page(tmp_path):
    folder = write_run(tmp_path, "ppo", iterations=5)
    tags = ["My/$x$", "My/<script>alert(1)</script>", f"My/{'long_' * 60}", "My/\x01\x7f", "My/größe", "plain", "My/"]
    alike = ["My/a b", "My/a-b", "my/A-B"]
    add_columns(folder, dict.fromkeys([*tags, *alike]))
    report = build_report([folder])
    write_report(report, tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<script>alert" not in page
    more = next(section for section in report.tasks[0].sections if section.title == "More metrics")
    assert len({plate.key for plate in more.plates}) == len(tags) + len(alike)
    for plate in more.plates:
        ElementTree.parse(tmp_path / "out" / "figures" / f"{plate.key}.svg")
