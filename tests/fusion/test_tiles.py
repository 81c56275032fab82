"""Fusing in tiles: how far methods see, tiles against whole images, bounded memory, and what is refused."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml

from smifbench import FusionMethod, FusionProblem, UserError, build_method, fuse, plugins
from smifbench.degradation.protocol import DEFAULT
from smifbench.fusion import tiles
from smifbench.fusion.scaled import ScaledNetwork

BANDS, MSI_BANDS = 4, 2
DEMO = yaml.safe_load((plugins.ROOT / "config" / "demo.yaml").read_text())["methods"]

every_method = pytest.mark.parametrize("name", plugins.names("methods"))


def build(name, ratio=4):
    """A method at the demo's small size."""
    torch.manual_seed(0)
    return build_method(name, FusionProblem(BANDS, MSI_BANDS, ratio, psf=DEFAULT.psf(ratio)), **options(name)).eval()


def options(name):
    return DEMO.get(name, {}).get("options", {})


def images(height, width, ratio=4, seed=0):
    generator = np.random.default_rng(seed)
    lr_hsi = generator.random((BANDS, height // ratio, width // ratio), dtype=np.float32)
    return lr_hsi, generator.random((MSI_BANDS, height, width), dtype=np.float32)


def frame_and_step(method):
    step = math.lcm(method.problem.ratio, method.grid)
    return -(-method.halo * method.problem.ratio // step) * step, step


@pytest.mark.parametrize("ratio", [3, 4])
@every_method
def test_no_pixel_sees_farther_than_the_halo(name, ratio):
    method = build(name, ratio).double()
    thin = [torch.from_numpy(image)[None].double() for image in images(48, 48, ratio)]
    method = method.for_scene(*thin)
    if method.halo is None:
        pytest.skip(f"{name} sees the whole scene")
    frame, step = frame_and_step(method)
    length = 2 * frame + 4 * step
    for upright in (False, True):
        for which, offset in ((0, 0), (1, 0), (1, step - 1)):
            lr_hsi, hr_msi = (torch.from_numpy(image)[None].double() for image in images(step, length, ratio))
            column = length // 2 // step * step + offset
            # NaN spreads to all that is computed from it, also where a weight is zero or a difference would round off.
            marked, at = ((lr_hsi, column // ratio), (hr_msi, column))[which]
            marked[0, :, 0, at] = math.nan
            if upright:
                lr_hsi, hr_msi = lr_hsi.mT, hr_msi.mT
            with torch.no_grad():
                estimate = method(lr_hsi, hr_msi)
            seen = torch.isnan(estimate.mT if upright else estimate).any(2).any(1).squeeze(0).nonzero().squeeze(1)
            distance = (seen // ratio - column // ratio).abs()
            assert max(distance.tolist(), default=0) <= method.halo


@every_method
def test_tiles_equal_the_whole_image(name, monkeypatch, tmp_path):
    method = build(name)
    small = [torch.from_numpy(image)[None] for image in images(48, 48)]
    local = method.for_scene(*small)
    if local.halo is None:
        pytest.skip(f"{name} sees the whole scene")
    frame, step = frame_and_step(local)
    run = max(frame, step)
    length = 4 * run
    height = length if length < 100 else step
    lr_hsi, hr_msi = images(height, length)
    model = ScaledNetwork(method) if method.trainable else method
    whole = fuse(model, lr_hsi, hr_msi)
    monkeypatch.setattr(tiles, "_pixels_that_fit", lambda *_: min(height, 2 * frame + run) * (2 * frame + run))
    calls = []
    monkeypatch.setattr(tiles, "_forward", lambda *args, do=tiles._forward: calls.append(1) or do(*args))
    tiled = fuse(model, lr_hsi, hr_msi, memory_gb=1, target=tmp_path / "estimate.npy")
    assert len(calls) >= 3
    assert np.abs(tiled - whole).max() <= 1e-5 * np.abs(whole).max()
    assert np.array_equal(np.load(tmp_path / "estimate.npy"), tiled)


class Spread(FusionMethod):
    """A box blur over `halo` LR pixels; out of memory above `most` HR pixels."""

    title, citation, trainable = "Spread", "none", False

    def __init__(self, halo, grid=1, most=math.inf, error=None):
        super().__init__(FusionProblem(BANDS, MSI_BANDS, 4))
        self.halo, self.grid, self.most, self.seen = halo, grid, most, []
        self.error = error or torch.OutOfMemoryError("too large")

    def forward(self, lr_hsi, hr_msi):
        self.seen.append(tuple(hr_msi.shape[2:]))
        if math.prod(hr_msi.shape[2:]) > self.most:
            raise self.error
        return torch.nn.functional.interpolate(lr_hsi, scale_factor=4) + hr_msi[:, :1]


@pytest.mark.parametrize(("height", "width"), [(64, 64), (16, 400), (400, 16), (60, 92)])
@pytest.mark.parametrize("most", [700, 1500, 2800])
def test_tiles_keep_to_the_pixels_that_they_may_have_and_to_the_grid(height, width, most):
    method = Spread(1, grid=2)
    windows = tiles._windows(method, (BANDS, height // 4, width // 4), (MSI_BANDS, height, width), most)
    covered = np.zeros((height, width), int)
    for kept, framed in windows:
        covered[kept] += 1
        for inner, outer, length in zip(kept, framed, (height, width), strict=True):
            assert outer.start == max(0, inner.start - 4)
            assert outer.stop == min(length, inner.stop + 4)
            assert outer.start % 4 == outer.stop % 4 == 0
        assert math.prod(side.stop - side.start for side in framed) <= most
    assert (covered == 1).all()


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("too large"), RuntimeError("CUBLAS_STATUS_ALLOC_FAILED")])
def test_a_gpu_that_runs_out_of_memory_gets_tiles(error):
    method = Spread(1, most=1000, error=error)
    lr_hsi, hr_msi = images(64, 64)
    estimate = fuse(method, lr_hsi, hr_msi)
    assert method.seen[0] == (64, 64)
    assert np.array_equal(estimate, fuse(Spread(1), lr_hsi, hr_msi))


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        (Spread(None, most=1000), "the method sees all of it at once"),
        (Spread(40, most=1000), "the smallest tile, 4 pixels with a frame of 160 around them, does not fit either"),
        (Spread(1, grid=48, most=1000), "tiles need sides that are multiples of 48; crop it"),
        (Spread(1, most=10), "does not fit into the memory"),
    ],
)
def test_what_cannot_be_tiled_is_refused_in_a_sentence(method, sentence):
    with pytest.raises(UserError, match="the scene of 64 x 64 pixels does not fit into the memory") as refused:
        fuse(method, *images(64, 64))
    assert sentence in str(refused.value)


def test_the_bound_of_a_config_refuses_a_method_that_sees_the_whole_scene():
    method = build("mssjfl")
    assert fuse(method, *images(64, 64), memory_gb=1).shape == (BANDS, 64, 64)
    with pytest.raises(UserError, match="sees all of it at once"):
        fuse(method, *images(64, 64), memory_gb=0.002)


GROWTH = """
import sys
import numpy as np
import torch
from smifbench import FusionProblem, build_method, fuse

def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

torch.set_num_threads(1)
folder, memory_gb = sys.argv[1], float(sys.argv[2]) or None
method = build_method("ssr_net", FusionProblem(31, 3, 4))
fuse(method, np.zeros((31, 8, 8), np.float32), np.zeros((3, 32, 32), np.float32), memory_gb=memory_gb)
before = peak()
lr_hsi, hr_msi = (np.load(f"{folder}/{name}.npy", mmap_mode="r") for name in ("lr_hsi", "hr_msi"))
fuse(method, lr_hsi, hr_msi, memory_gb=memory_gb, target=__import__("pathlib").Path(folder, "estimate.npy"))
print(peak() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is read from /proc")
def test_memory_stays_below_the_bound(tmp_path):
    side, bound = 1024, 0.45  # a sixteenth of 4096 x 4096 in a sixteenth of 7.2 GB, which leave 0.8 for the program
    np.save(tmp_path / "lr_hsi.npy", np.random.default_rng(0).random((31, side // 4, side // 4), dtype=np.float32))
    np.save(tmp_path / "hr_msi.npy", np.random.default_rng(0).random((3, side, side), dtype=np.float32))
    grown = {}
    for memory_gb in (0, bound):
        command = [sys.executable, "-c", GROWTH, str(tmp_path), str(memory_gb)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "profiler" not in done.stderr, "torch's own log is no message to a user"
        grown[memory_gb] = int(done.stdout)
        estimate = np.load(tmp_path / "estimate.npy")
    assert estimate.shape == (31, side, side)
    assert grown[bound] < bound * 1e9 < grown[0]


@pytest.mark.parametrize("name", ["ssr_net", "gsa"])
def test_images_of_double_precision_are_fused_as_float32(name):
    method, (lr_hsi, hr_msi) = build(name), images(32, 32)
    estimate = fuse(method, lr_hsi.astype(np.float64), hr_msi.astype(np.float64))
    assert np.array_equal(estimate, fuse(method, lr_hsi, hr_msi))


@pytest.mark.parametrize("memory_gb", [None, 1])
def test_swapped_and_unfitting_images_are_told(memory_gb):
    lr_hsi, hr_msi = images(32, 32)
    for first, second in ((hr_msi, lr_hsi), (lr_hsi, hr_msi[:, :30]), (lr_hsi[0], hr_msi), (lr_hsi[:, :0], hr_msi)):
        with pytest.raises(UserError, match=r"lr_hsi has shape .* and hr_msi .*; give lr_hsi first"):
            fuse(build("gsa"), first, second, memory_gb=memory_gb)


def test_one_output_band_is_refused_behind_a_scaling():
    class OneBand(FusionMethod):
        def forward(self, lr_hsi, hr_msi):
            return hr_msi.mean(1, keepdim=True)

    model = ScaledNetwork(OneBand(FusionProblem(BANDS, MSI_BANDS, 4)))
    with pytest.raises(UserError, match=r"forward returned shape \(1, 1, 32, 32\) instead of \(1, 4, 32, 32\)"):
        fuse(model, *images(32, 32))


def test_what_is_no_image_is_refused():
    class Both(FusionMethod):
        def forward(self, lr_hsi, hr_msi):
            return lr_hsi, hr_msi

    with pytest.raises(UserError, match=r"forward returned tuple instead of a tensor of shape \(1, 4, 32, 32\)"):
        fuse(Both(FusionProblem(BANDS, MSI_BANDS, 4)), *images(32, 32))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda lr, hr: (lr[:3], hr), "built to fuse 4 bands with 2 at ratio 4, and these images have 3 bands with 2"),
        (lambda lr, hr: (lr, hr[:1]), "these images have 4 bands with 1 at ratio 4"),
        (lambda lr, hr: (lr, hr[:, ::2, ::2]), "these images have 4 bands with 2 at ratio 2"),
        (lambda lr, hr: (lr, (255 * hr).astype(np.uint8)), "hr_msi holds values of type uint8; divide it"),
        (lambda lr, hr: (255 * lr, 255 * hr), "a network takes images in \\[0,1\\]; divide both"),
        (lambda lr, hr: (lr * np.where(lr > 0.5, np.nan, 1).astype(np.float32), hr), "lr_hsi holds NaN"),
    ],
)
def test_images_that_the_method_does_not_know_are_refused(change, sentence):
    network = ScaledNetwork(build("ssr_net"))
    with pytest.raises(UserError, match=sentence):
        fuse(network, *change(*images(16, 16)))
