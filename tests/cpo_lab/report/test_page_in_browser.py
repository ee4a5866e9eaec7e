# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The finished page in a real browser, at laptop and phone width: complete, readable, silent, offline."""

from __future__ import annotations

import pytest
from tests.cpo_lab.report.browser import Browser
from tests.cpo_lab.report.synthetic_runs import add_columns, write_run

from cpo_lab.report.build import build_report, write_report

# Text of a figure in CSS pixels on screen, and whether it sticks out of its figure.
TEXTS = """
return [...document.querySelectorAll('figure svg')].flatMap(svg => {
  const frame = svg.getBoundingClientRect();
  const scale = frame.width / svg.viewBox.baseVal.width;
  return [...svg.querySelectorAll('text')].filter(t => t.textContent.trim()).map(t => {
    const box = t.getBoundingClientRect();
    const aside = Math.max(frame.left - box.left, box.right - frame.right);
    const beyond = Math.max(frame.top - box.top, box.bottom - frame.bottom);
    const size = parseFloat(getComputedStyle(t).fontSize) * scale;
    return [svg.closest('figure').dataset.plate, t.textContent.trim(), size, Math.max(aside, beyond)];
  });
});
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    folders = [write_run(root, name, seed) for name in ("ppo", "sapg", "cpo") for seed in range(2)]
    (folders[-1] / "metrics.csv").unlink()
    add_columns(
        folders[0], {"My/metric_with_a_name_longer_than_any_figure_is_wide_at_its_title": None, "Loss/tiny": "1e-5"}
    )
    report = build_report(folders, "Test of the report")
    return write_report(report, tmp_path_factory.mktemp("report")).as_uri(), report


@pytest.fixture(scope="module")
def browser():
    with Browser() as session:
        yield session


@pytest.mark.parametrize("width", [1280, 390])
def test_page_is_complete_silent_and_needs_no_network(browser, page, width):
    address, report = page
    browser.open(address, width)
    assert browser.messages() == []
    assert browser.run("return performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:'))") == []
    shown = browser.run(
        "return [...document.querySelectorAll('figure')].map(f => [f.dataset.plate, "
        "(f.querySelector('svg') || f.querySelector('div')).getBoundingClientRect().width])"
    )
    names = [name for name, _ in shown]
    assert {plate.key for plate in report.plates} <= set(names)
    assert sum("kl_slider" in name for name in names) == 2
    assert min(size for _, size in shown) > 300
    page_width = browser.run("return document.documentElement.scrollWidth")
    assert page_width == width, "the page scrolls sideways"


@pytest.mark.parametrize(("width", "smallest"), [(1280, 10.5), (390, 10.0)])
def test_text_of_figures_is_readable_and_inside(browser, page, width, smallest):
    browser.open(page[0], width)
    texts = browser.run(TEXTS)
    assert len(texts) > 200
    assert [t for t in texts if t[2] < smallest] == []
    assert [t for t in texts if t[3] > 1.5] == []
    prose = browser.run(
        "return [...document.querySelectorAll('p, li, td, th, dd, figcaption, a')]"
        ".map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert min(prose) >= 13


def test_slider_moves_the_kl_map(browser, page):
    browser.open(page[0], 1280)
    state = (
        "const f = document.querySelector('.klmap');"
        "return [f.querySelector('output').textContent, f.querySelectorAll('rect')[1].getAttribute('fill'), "
        "[...f.querySelectorAll('text')].map(t => t.textContent).join(' ')]"
    )
    last = browser.run(state)
    browser.run("const s = document.querySelector('.klmap input'); s.value = 0; s.dispatchEvent(new Event('input'))")
    first = browser.run(state)
    assert all(before != after for before, after in zip(first, last, strict=True))
    assert browser.messages() == []


def test_print_shows_every_figure(browser, page):
    browser.open(page[0], 1280)
    browser.devtools("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert browser.run("return getComputedStyle(document.querySelector('nav')).display") == "none"
        heights = browser.run(
            "return [...document.querySelectorAll('figure')].map(f => f.getBoundingClientRect().height)"
        )
        assert min(heights) > 50
        assert len(browser.devtools("Page.printToPDF", {})["data"]) > 50_000
    finally:
        browser.devtools("Emulation.setEmulatedMedia", {"media": ""})
