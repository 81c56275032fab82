"""The page on adding a data set: the one that it shows works."""

import re
import shutil
import subprocess
import sys

import numpy as np

from smifbench import plugins

PAGE = (plugins.ROOT / "docs" / "add_data_set.md").read_text()


def test_the_data_set_of_the_page_is_found_and_read(tmp_path):
    for name in ("smifbench", "datasets"):
        shutil.copytree(plugins.ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "datasets" / "town.py").write_text(re.search(r"```python\n(.*?)```", PAGE, re.DOTALL).group(1))
    counts = np.arange(40 * 96 * 64, dtype=np.uint16).reshape(40, 96, 64) % 10000
    (tmp_path / "here").mkdir()
    np.save(tmp_path / "here" / "town.npy", counts)
    script = (
        "from pathlib import Path; from smifbench import plugins\n"
        "from smifbench.data import scenes; from smifbench.degradation import degrade, pairs\n"
        "town = plugins.build_dataset('town', folder='here'); town.fetch(Path('raw'))\n"
        "for scene in town.scenes(): scenes.prepare(town, 'town', scene, Path('raw'), Path('scenes', f'{scene}.npy'))\n"
        "degrade.degrade(sorted(Path('scenes').glob('*.npy')), 'block-gauss-s2/1', 4, Path('pairs'))\n"
        "print([pair.hr_msi.shape for pair in pairs.load_pairs(Path('pairs'), 'test')])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[(4, 32, 32)]", done.stderr
    stored = np.load(tmp_path / "scenes" / "town_test.npy")
    np.testing.assert_array_equal(stored, counts[:, 64:96, 32:64].astype(np.float32) / 10000)
