"""The documentation site: no warning, no link that leads nowhere, no page that a phone cannot show."""

import re
import subprocess
import sys
from collections import defaultdict
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
from browser import CHROMIUM, Browser

import smifbench
from smifbench import plugins
from smifbench.metrics import METRICS

pytestmark = pytest.mark.xdist_group("site")  # one site for all

OF_SPHINX = {"genindex.html", "py-modindex.html", "search.html"}


class Page(HTMLParser):
    """What a page of the site links to, loads, and can be linked at."""

    def __init__(self, text):
        super().__init__()
        self.links, self.loaded, self.anchors = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        about = dict(attributes)
        self.anchors |= {about.get("id"), about.get("name")}
        if tag == "a" and "href" in about:
            self.links.append(about["href"])
        elif tag in ("link", "script", "img", "iframe"):
            self.loaded += [about[name] for name in ("href", "src") if name in about]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site, built as `make site` builds it."""
    target = tmp_path_factory.mktemp("site")
    recipe = re.search(r"-m (sphinx .*) docs build/site$", (plugins.ROOT / "Makefile").read_text(), re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-m", *recipe.group(1).split(), plugins.ROOT / "docs", target], capture_output=True, text=True
    )
    assert "--fail-on-warning" in recipe.group(1)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def pages(site):
    return {path.name: Page(path.read_text(encoding="utf-8")) for path in site.glob("*.html")}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


def internal(addresses):
    return [urlsplit(address) for address in addresses if not urlsplit(address).scheme]


def test_every_link_within_the_site_leads_to_a_place_that_is_there(site, pages):
    broken = []
    for name, page in pages.items():
        for link in internal(page.links):
            target = unquote(link.path) or name
            anchors = pages[target].anchors if target in pages else set()
            if not (site / target).exists() or (link.fragment and unquote(link.fragment) not in anchors):
                broken.append((name, link.geturl()))
    assert broken == []


def test_every_page_is_reached_from_the_first(pages):
    reached, waiting = set(), ["index.html"]
    while waiting:
        name = waiting.pop()
        if name in pages and name not in reached:
            reached.add(name)
            waiting += [link.path for link in internal(pages[name].links)]
    assert pages.keys() - reached - OF_SPHINX == set()
    assert len(reached) >= len([*(plugins.ROOT / "docs").glob("*.md")])


def test_nothing_is_loaded_from_elsewhere(site, pages):
    loaded = [address for page in pages.values() for address in page.loaded]
    assert loaded
    assert [address for address in loaded if urlsplit(address).scheme not in ("", "data")] == []
    for path in site.rglob("*.css"):
        assert not re.search(r"""(@import|url\()\s*["']?(https?:)?//""", path.read_text(encoding="utf-8")), path


def test_every_public_name_and_every_metric_is_documented(pages):
    documented = {str(anchor).removeprefix("module-") for anchor in pages["api.html"].anchors}
    assert {f"smifbench.{name}" for name in smifbench.__all__} <= documented
    assert {f"smifbench.metrics.{name}" for name in METRICS} <= documented


def test_every_metric_is_defined_by_a_formula(site):
    terms = defaultdict(str)
    text = (site / "metrics.html").read_text(encoding="utf-8")
    for names, definition in re.findall(r"<dt>(.*?)</dt>\s*<dd>(.*?)</dd>", text, re.DOTALL):
        for name in re.findall(r'<span class="pre">(\w+)</span>', names):
            terms[name] += definition
    assert terms.keys() == METRICS.keys()
    assert [name for name, definition in terms.items() if "<math" not in definition] == []


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [390, 1400])
def test_no_page_scrolls_sideways(site, pages, browser, width):
    browser.width(width)
    wide = {}
    for name in sorted(pages):
        browser.open(site / name)
        if (found := browser.run("document.documentElement.scrollWidth")) > width:
            wide[name] = found
        assert browser.complaints == [], name
    assert wide == {}


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed")
def test_a_phone_shows_the_last_column_of_a_wide_table_beside_the_first(site, browser):
    browser.width(390)
    browser.open(site / "limits.html")
    box = "document.querySelector('table').parentElement"
    assert browser.run(f"{box}.scrollWidth > {box}.clientWidth + 100")
    browser.run(f"{box}.scrollLeft = 10000")
    last = "document.querySelector('table thead th:last-child').getBoundingClientRect()"
    assert browser.run(f"{last}.right") <= 390
    first = "document.querySelector('table tbody td').getBoundingClientRect()"
    assert 0 <= browser.run(f"{first}.left") < browser.run(f"{first}.right") <= browser.run(f"{last}.left")
