"""Batches of patches: aligned cuts of all scenes, equal to what slicing scene by scene gives."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from smifbench.data.missing import blocks_with_missing
from smifbench.degradation.pairs import Pair
from smifbench.degradation.simulation import simulate
from smifbench.training.patches import Patches

SRF = np.array([[0.5, 0.5, 0, 0, 0, 0], [0, 0, 0, 0, 0.5, 0.5]])


def pair(height=32, width=48, seed=0):
    hr_hsi = np.random.default_rng(seed).random((6, height, width), dtype=np.float32)
    return Pair(f"scene{seed}", "train", *simulate(hr_hsi, 4, SRF), data="0")


def load(*pairs, device="cpu"):
    return Patches.load(pairs, 4, torch.device(device))


def draw(patches, count, patch, augment, seed=0):
    return patches.sample(count, patch, augment, torch.Generator().manual_seed(seed))


def by_slicing(pairs, count, patch, augment, seed=0):
    """What `Patches.sample` must give, one patch after another by slices, rot90 and flip."""
    draws = torch.rand(count, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    areas = np.cumsum([pair.lr_hsi[0].size for pair in pairs])
    batch = []
    for place, row, column, symmetry in draws.tolist():
        chosen = pairs[int(np.searchsorted(areas / areas[-1], place))]
        side = patch // 4
        height, width = chosen.lr_hsi.shape[1:]
        top, left = int(row * (height - side + 1)), int(column * (width - side + 1))
        cuts = []
        for image, step in ((chosen.lr_hsi, 1), (chosen.hr_msi, 4), (chosen.hr_hsi, 4)):
            cut = torch.from_numpy(image[:, top * step : (top + side) * step, left * step : (left + side) * step])
            which = int(symmetry * 8) if augment else 0
            cut = torch.rot90(cut, which % 4, (1, 2))
            cuts.append(cut.flip(2) if which >= 4 else cut)
        batch.append(cuts)
    return [torch.stack(cuts) for cuts in zip(*batch, strict=True)]


@pytest.mark.parametrize("augment", [False, True])
def test_one_gather_gives_what_slicing_gives(augment):
    pairs = [pair(32, 48, seed=0), pair(40, 32, seed=1), pair(16, 60, seed=2)]
    batch = draw(load(*pairs), 50, 16, augment)
    for image, expected in zip(batch[:3], by_slicing(pairs, 50, 16, augment), strict=True):
        assert torch.equal(image, expected)
    assert set(batch.scenes.tolist()) == {0, 1, 2}


def test_covered_borders_are_in_as_many_patches_as_the_middle():
    whole = pair(64, 64)  # 16 x 16 LR pixels
    whole = replace(whole, hr_hsi=np.stack(6 * [np.arange(64 * 64, dtype=np.float32).reshape(64, 64)]))
    counts = {}
    for cover in (False, True):
        batch = load(whole).sample(20_000, 16, True, torch.Generator().manual_seed(0), cover_borders=cover)
        seen = torch.bincount(batch.hr_hsi[:, 0].flatten().long(), minlength=64 * 64).view(64, 64).double()
        seen /= seen.mean()
        counts[cover] = {"corner": float(seen[0, 0]), "side": float(seen[0, 32]), "middle": float(seen[32, 32])}
    # Of 13 x 13 positions a corner is in 1 and a pixel of the middle in 4 x 4; of 19 x 19, both in 4 x 4.
    assert counts[False]["corner"] < 0.1 * counts[False]["middle"]
    for place in ("corner", "side"):
        assert 0.85 < counts[True][place] / counts[True]["middle"] < 1.15


@pytest.mark.parametrize("augment", [False, True])
def test_patches_stay_aligned_pairs(augment):
    batch = draw(load(pair(seed=0), pair(40, 32, seed=1)), 30, 16, augment)
    assert batch.lr_hsi.shape == (30, 6, 4, 4)
    assert batch.hr_msi.shape == (30, 2, 16, 16)
    # The protocol's kernel is symmetric and keeps to its block, so degrading a patch gives the patch of the pair.
    for lr_hsi, hr_msi, hr_hsi, _ in zip(*batch, strict=True):
        again = simulate(hr_hsi.numpy(), 4, SRF)
        np.testing.assert_allclose(again.lr_hsi, lr_hsi, atol=1e-6)
        np.testing.assert_allclose(again.hr_msi, hr_msi, atol=1e-6)


def test_all_eight_symmetries_occur():
    whole = pair(16, 16)
    found = {tuple(cut[0, 0].tolist()) for cut in draw(load(whole), 100, 16, True).hr_hsi}
    sides = whole.hr_hsi[0][0], whole.hr_hsi[0][-1], whole.hr_hsi[0][:, 0], whole.hr_hsi[0][:, -1]
    assert found == {tuple(side.tolist()) for edge in sides for side in (edge, edge[::-1])}


def test_scenes_are_drawn_by_area_and_positions_reach_both_corners():
    small, large = pair(16, 16, seed=0), pair(32, 32, seed=1)
    batch = draw(load(small, large), 400, 16, False)
    from_small = sum(np.array_equal(cut, small.hr_hsi) for cut in batch.hr_hsi.numpy())
    assert from_small == int((batch.scenes == 0).sum())
    assert 50 < from_small < 115  # a fifth of 400, within four deviations
    corners = [large.hr_hsi[:, :16, :16], large.hr_hsi[:, -16:, -16:]]
    assert all(any(np.array_equal(cut, corner) for cut in batch.hr_hsi.numpy()) for corner in corners)


def test_a_patch_may_be_a_whole_scene():
    whole = pair(32, 32)
    assert torch.equal(draw(load(whole), 1, 32, False).hr_hsi[0], torch.from_numpy(whole.hr_hsi))


def test_images_lie_on_the_device_in_channels_last_order():
    batch = draw(load(pair(), device="meta"), 3, 16, True)
    assert {image.device.type for image in batch[:3]} == {"meta"}
    assert all(image.is_contiguous(memory_format=torch.channels_last) for image in batch[:3])
    assert batch.scenes.device.type == "cpu"


def test_an_epoch_counts_patches_that_tile_the_scenes():
    patches = load(pair(32, 48), pair(40, 20))
    assert patches.per_epoch(16) == 2 * 3 + 2 * 1
    assert patches.smallest_side == 20


def test_patches_touch_no_missing_pixel():
    whole, gaps = pair(32, 48, seed=0), pair(32, 48, seed=1)
    missing = np.zeros((32, 48), bool)
    missing[17, 21] = True
    gaps.hr_hsi[:, 17, 21] = gaps.hr_msi[:, 17, 21] = np.nan
    gaps.lr_hsi[:, 4, 5] = np.nan
    gaps = replace(gaps, missing=missing, lr_missing=blocks_with_missing(missing, 4))
    patches = load(whole, gaps)
    batch = draw(patches, 300, 12, augment=True)
    assert all(torch.isfinite(image).all() for image in batch[:3])
    assert set(batch.scenes.tolist()) == {0, 1}
    places = patches.whole_places(3).tolist()
    expected = {(0, top, left) for top in range(6) for left in range(10)}
    expected |= {(1, *place[1:]) for place in expected if not (2 <= place[1] <= 4 and 3 <= place[2] <= 5)}
    assert set(map(tuple, places)) == expected
    assert all(torch.isfinite(pixels).all() for pixels in patches.valid_pixels())
    assert [len(pixels) for pixels in patches.valid_pixels()] == [2 * 96 - 1, 16 * (2 * 96 - 1)]
