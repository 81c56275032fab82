"""The report in a real browser: it sorts, filters, shows spectra, and serves keyboards and phones."""

import json

import numpy as np
import pytest
from browser import CHROMIUM, Browser
from made_up import reference

from smifbench import metrics

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed"),
    pytest.mark.xdist_group("report"),  # one browser for all
]

SHOWN = "[...document.querySelectorAll('#board-table tbody tr')].filter((row) => !row.hidden)"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def page(browser, made_up):
    """The report, just opened on a desk; after the test its console must be clean."""
    browser.width(1280)
    browser.open(made_up[0] / "report.html")
    yield browser
    assert browser.complaints == []


def column(page, heading, rows=SHOWN):
    """Texts of a column of the leaderboard's visible rows."""
    heads = page.run("[...document.querySelectorAll('#board-table thead th')].map((head) => head.innerText.trim())")
    place = next(place for place, text in enumerate(heads) if text.startswith(heading))
    return page.run(f"{rows}.map((row) => row.cells[{place}].innerText.trim())")


def choose(page, selector, value):
    page.run(
        f"""(() => {{ const field = document.querySelector({json.dumps(selector)}); field.value = {json.dumps(value)};
        for (const kind of ["input", "change"]) field.dispatchEvent(new Event(kind, {{ bubbles: true }})); }})()"""
    )


def test_a_heading_sorts_both_ways_and_says_so(page):
    button = (
        "[...document.querySelectorAll('#board-table thead button')].find((each) => each.innerText.includes('PSNR'))"
    )
    orders = {}
    for _ in range(2):
        page.run(f"{button}.click()")
        orders[page.run(f"{button}.parentElement.getAttribute('aria-sort')")] = column(page, "PSNR")
    for direction, sign in (("ascending", 1), ("descending", -1)):
        values = [sign * float(text.split()[0]) for text in orders[direction][:-1]]
        assert values == sorted(values)
        assert orders[direction][-1] == "–", "what is missing comes last"
    assert page.run("document.querySelectorAll('#board-table th[aria-sort=descending]').length") == 1


def test_filters_narrow_the_leaderboard_and_count(page):
    form = "form[data-table=board]"
    assert page.run(f"document.querySelector('{form} output').textContent") == "16 of 16 rows"
    choose(page, f"{form} select[name=dataset_title]", "CAVE")
    choose(page, f"{form} select[name=ratio]", "8")
    assert column(page, "Method") == ["Bicubic", "GSA", "SSR-NET", "SMIF-NET"]
    assert set(column(page, "Data set")) == {"CAVE"}
    choose(page, f"{form} input[name=title]", "net")
    assert column(page, "Method") == ["SSR-NET", "SMIF-NET"]
    assert page.run(f"document.querySelector('{form} output').textContent") == "2 of 16 rows"
    page.run(f"document.querySelector('{form} button[type=reset]').click()")
    page.wait(f"{SHOWN}.length === 16")


def test_the_audit_is_filtered_by_its_status(page):
    choose(page, "form[data-table=audited] select[name=status]", "not comparable")
    shown = "[...document.querySelectorAll('#audited-table tbody tr')].filter((row) => !row.hidden)"
    texts = page.run(f"{shown}.map((row) => row.innerText)")
    assert texts
    assert all("not comparable" in text for text in texts)
    assert len(texts) == int(page.run("document.querySelector('.counts .not-comparable').textContent"))


def test_one_group_of_metrics_is_shown_at_a_time(page):
    visible = "[...document.querySelectorAll('#board-table thead th')].filter((head) => head.offsetParent).length"
    both = page.run("document.querySelectorAll('#board-table thead th').length")
    counts = []
    for convention in ("wald", "further", "paper"):
        choose(page, "#convention", convention)
        counts.append(page.run(visible))
    other = both - sum(counts)
    assert counts == [5 + 6, 5 + 7, 5 + 6]
    assert other == -10, "method, data set, ratio, protocol and steps are shown in all"


def test_the_divider_uncovers_the_chosen_method(page):
    page.run("[...document.querySelectorAll('#right button')].find((each) => each.innerText === 'GSA').click()")
    assert page.run("document.getElementById('right-image').alt") == "GSA, pseudo-colour"
    assert page.run("document.querySelector('#right button[aria-pressed=true]').innerText") == "GSA"
    choose(page, "#divide", "30")
    assert "30%" in page.run("getComputedStyle(document.getElementById('right-image')).clipPath")
    choose(page, "#mode", "errors")
    assert page.run("document.getElementById('right-image').alt") == "GSA, absolute error"
    assert page.run("document.getElementById('left-image').alt") == "reference, pseudo-colour"
    assert page.run("!document.getElementById('error-bar').hidden")
    page.wait("document.getElementById('right-image').naturalWidth === 48")


def test_a_click_shows_the_spectra_of_that_pixel(page, made_up):
    results, _ = made_up
    choose(page, "#view", "1")
    page.run("document.getElementById('stage').scrollIntoView({ block: 'center' })")
    place = page.run(
        "(({ x, y, width, height }) => [x, y, width, height])(document.getElementById('stage').getBoundingClientRect())"
    )
    row, column = 25, 20
    page.click(place[0] + (column + 0.5) / 48 * place[2], place[1] + (row + 0.5) / 40 * place[3])
    assert page.run("[document.getElementById('row').value, document.getElementById('column').value]") == ["25", "20"]
    rows = "[...document.querySelectorAll('#pixel-table tbody tr')]"
    cells = page.run(f"{rows}.map((row) => [...row.cells].map((cell) => cell.innerText.trim()))")
    truth = reference(results.parent, "cave")[:, row : row + 1, column : column + 1]
    for (name, rmse, angle), method in zip(cells, ("bicubic", "gsa", "ssr_net", "smif_net"), strict=True):
        cube = np.load(results / f"runs/cave/block-gauss-s2/1/x8/{method}/default/seed0/fused/cave_0.npy").clip(0, 1)
        pixel = cube[:, row : row + 1, column : column + 1]
        assert float(rmse) == pytest.approx(metrics.rmse(truth, pixel), abs=3e-4), name
        assert float(angle) == pytest.approx(metrics.sam(truth, pixel), abs=0.05), name
    assert page.run("document.querySelectorAll('#spectra polyline').length") == 5


def test_a_pixel_is_chosen_by_keyboard_too(page):
    before = page.run("document.getElementById('residuals').innerHTML")
    page.run("document.getElementById('row').focus()")
    value = int(page.run("document.getElementById('row').value"))
    page.press("ArrowUp")
    assert int(page.run("document.getElementById('row').value")) == value + 1
    page.wait(f"document.getElementById('residuals').innerHTML !== {json.dumps(before)}")
    choose(page, "#row", "100000")
    last = page.run("document.getElementById('row').max")
    assert page.run("document.getElementById('row').value") == last


def test_tab_reaches_every_control_in_the_order_of_the_page(page):
    """Fields, buttons, links and scrolling boxes."""
    controls = "a[href], button, input, select, summary, [tabindex='0']"
    focusable = f'[...document.querySelectorAll("{controls}")].filter((each) => each.checkVisibility())'
    page.run(f"{focusable}.forEach((each, place) => each.dataset.place = place)")
    expected = page.run(f"{focusable}.length")
    reached = []
    for _ in range(expected):
        page.press("Tab")
        reached.append(page.run("Number(document.activeElement.dataset.place ?? -1)"))
    assert reached == list(range(expected))


def test_enter_on_a_heading_sorts(page):
    page.run("document.querySelector('#board-table thead button').focus()")
    page.press("Enter")
    assert column(page, "Method") == sorted(column(page, "Method"), key=str.lower)


def test_entries_are_copied_or_at_least_selected(page):
    page.run("document.getElementById('copy').click()")
    page.wait("document.getElementById('copied').textContent !== ''")
    assert page.run("document.getElementById('copied').textContent") in ("Copied.", "Selected; copy with Ctrl+C.")


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_the_page_never_scrolls_sideways(page, width):
    page.width(width)
    assert page.run("document.documentElement.scrollWidth") <= width
    texts = "[...document.querySelectorAll('p, td, th, li, button, label')]"
    assert page.run(f"Math.min(...{texts}.map((each) => parseFloat(getComputedStyle(each).fontSize)))") >= 11


@pytest.mark.parametrize("table", ["board", "audited", "costs", "tests"])
def test_no_column_is_cut_on_a_desk(page, table):
    page.width(1280)
    box = f"document.getElementById('{table}-table').parentElement"
    assert page.run(f"{box}.scrollWidth - {box}.clientWidth") <= 0


@pytest.mark.parametrize(("table", "heading"), [("board", "PSNR"), ("audited", "Published"), ("tests", "PSNR")])
def test_a_phone_shows_a_number_beside_the_method_and_its_setting(page, table, heading):
    page.width(390)
    heads = f"[...document.querySelectorAll('#{table}-table thead th')]"
    right = f"{heads}.find((head) => head.innerText.startsWith('{heading}')).getBoundingClientRect().right"
    assert 0 < page.run(right) <= 390
    first = page.run(f"document.querySelector('#{table}-table tbody tr').cells[0].innerText")
    assert "ratio 4" in first
    page.run(f"document.getElementById('{table}-table').parentElement.scrollLeft = 200")
    assert page.run(f"document.querySelector('#{table}-table tbody tr').cells[0].getBoundingClientRect().left") >= 0


def test_every_picture_and_section_is_there(page):
    assert page.run(
        "[...document.images].filter((image) => image.closest('#figures')).every((image) => image.naturalWidth > 500)"
    )
    targets = page.run("[...document.querySelectorAll('nav a')].map((link) => link.getAttribute('href'))")
    assert len(targets) == 8
    assert page.run(f"{json.dumps(targets)}.every((target) => document.querySelector(target))")
    assert page.run("[...document.images].every((image) => image.alt)")
    unlabelled = "[...document.querySelectorAll('input, select')].filter((field) => !field.labels.length).length"
    assert page.run(unlabelled) == 0
