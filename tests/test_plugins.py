"""Plug-ins of the current directory stand beside the suite's, and a mistake in one is told in one sentence."""

import gc
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from smifbench import FusionProblem, UserError, build_method, plugins
from smifbench.tools.scaffold import new_method

METHOD = """\
from smifbench.method import FusionMethod

from ._helper import TITLE
from ._layers import upsample_bicubic

class Mine(FusionMethod):
    title = TITLE
    citation = "me2026mine"
    trainable = False

    def forward(self, lr_hsi, hr_msi):
        return upsample_bicubic(lr_hsi, hr_msi.shape[-2:])
"""


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A current directory outside the checkout, with a method of its own that imports a file of its own."""
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "mine.py").write_text(METHOD)
    (tmp_path / "methods" / "_helper.py").write_text("TITLE = 'Mine'\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_method_of_the_current_directory_is_one_of_the_methods(desk):
    assert {"mine", "gsa"} <= set(plugins.names("methods"))
    assert plugins.method_class("mine").title == "Mine"
    assert build_method("mine", FusionProblem(3, 2, 4)).halo is None


def test_without_the_folder_there_are_the_suites_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert plugins.folders("methods") == [plugins.ROOT / "methods"]
    monkeypatch.chdir(plugins.ROOT)
    assert plugins.folders("methods") == [plugins.ROOT / "methods"]


def test_its_sources_are_its_own_files_and_those_of_the_suite_that_it_imports(desk):
    own, suite = desk / "methods", plugins.ROOT / "methods"
    assert set(plugins.sources("methods", "mine")) == {own / "mine.py", own / "_helper.py", suite / "_layers.py"}


def test_a_private_file_of_its_own_hides_the_suites_from_it_alone(desk):
    (desk / "methods" / "_layers.py").write_text("def upsample_bicubic(image, size):\n    return 'own'\n")
    mine = plugins.method_class("mine")
    assert mine.forward(None, None, _Sized()) == "own"
    bicubic = plugins.method_class("bicubic")
    assert plugins.sources("methods", "bicubic")[1:] == [plugins.ROOT / "methods" / "_layers.py"]
    assert bicubic.__module__ == "_smifbench_methods.bicubic"


class _Sized:
    shape = (1, 1, 1, 1)


def test_two_folders_do_not_share_modules(desk, tmp_path_factory, monkeypatch):
    assert plugins.method_class("mine").title == "Mine"
    other = tmp_path_factory.mktemp("other")
    (other / "methods").mkdir()
    (other / "methods" / "mine.py").write_text(METHOD.replace("= TITLE", "= TITLE + ' too'"))
    (other / "methods" / "_helper.py").write_text("TITLE = 'Mine'\n")
    monkeypatch.chdir(other)
    assert plugins.method_class("mine").title == "Mine too"


@pytest.mark.parametrize(("folder", "name"), [("methods", "gsa"), ("datasets", "cave")])
def test_a_name_that_exists_twice_names_both_files(desk, folder, name):
    (desk / folder).mkdir(exist_ok=True)
    (desk / folder / f"{name}.py").write_text("")
    with pytest.raises(UserError) as error:
        plugins.method_class(name) if folder == "methods" else plugins.build_dataset(name)
    assert str(desk / folder / f"{name}.py") in str(error.value)
    assert str(plugins.ROOT / folder / f"{name}.py") in str(error.value)
    assert plugins.method_class("tsfn").title == "TSFN"  # the others are not concerned


@pytest.mark.parametrize("attribute", ["title", "citation"])
def test_a_method_that_does_not_state_what_tables_print_is_told_so(desk, attribute):
    lines = METHOD.splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith(f"    {attribute} ="))
    (desk / "methods" / "mine.py").write_text(text)
    with pytest.raises(UserError, match=rf'^methods/mine.py must state .* add {attribute} = "\.\.\." to its class$'):
        plugins.method_class("mine")


def test_a_broken_file_is_named_as_it_lies(desk):
    (desk / "methods" / "mine.py").write_text("import nowhere_at_all\n")
    with pytest.raises(UserError, match=r"^methods/mine.py cannot be imported: No module named 'nowhere_at_all'$"):
        plugins.method_class("mine")


@pytest.mark.parametrize("entry", ["@misc{me2026mine,\n  title = {A {B} c},\n}", "@misc{ me2026mine, title={A {B} c}}"])
def test_bibtex_entries_of_the_current_directory_are_read_too(desk, entry):
    assert plugins.bibtex("methods", "me2026mine") == ""
    (desk / "methods" / "references.bib").write_text(f"@misc{{other,\n  note = {{x}},\n}}\n{entry}\n@misc{{last, }}\n")
    assert plugins.bibtex("methods", "me2026mine") == entry
    assert plugins.bibtex("methods", "aiazzi2007gsa").startswith("@article{aiazzi2007gsa,")


def test_an_entry_that_never_ends_is_none(desk):
    (desk / "methods" / "references.bib").write_text("@misc{me2026mine, title = {A\n")
    assert plugins.bibtex("methods", "me2026mine") == ""


def test_a_new_method_goes_into_the_current_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = new_method("net_of_a_test")
    assert path == tmp_path / "methods" / "net_of_a_test.py"
    cls = plugins.method_class("net_of_a_test")
    assert (cls.__name__, cls.title, cls.citation) == ("NetOfATest", "Net Of A Test", "author2026netofatest")
    for name in ("net_of_a_test", "gsa"):
        with pytest.raises(UserError, match=rf"methods/{name}.py exists already"):
            new_method(name)


class Knot:
    """Garbage that the collector alone finds, in the middle of parsing too, and that then lets other threads go on."""

    def __init__(self):
        self.itself = self

    def __del__(self):
        sum(range(100))


@pytest.fixture
def restless():
    """Threads that take turns, and a collector that runs, as often as can be."""
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    gc.set_threshold(20)
    yield
    sys.setswitchinterval(interval)
    gc.set_threshold(*thresholds)


def test_threads_parse_side_by_side(restless):
    """`ast.parse` alone ends in a SystemError in some of them on Python 3.11."""

    def statements(_):
        knots = [Knot() for _ in range(5)]
        del knots
        return len(plugins.syntax_tree(plugins.source("methods", "cnmf")).body)

    with ThreadPoolExecutor(6) as threads:
        assert len(set(threads.map(statements, range(300)))) == 1
