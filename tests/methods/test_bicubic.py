import numpy as np
import pytest
import torch
from PIL import Image
from shape_keyed import inputs

from smifbench import FusionProblem, build_method


def bicubic(image, ratio):
    bands, height, width = image.shape[1:]
    method = build_method("bicubic", FusionProblem(bands, 1, ratio))
    return method(image, torch.zeros(len(image), 1, height * ratio, width * ratio))


@pytest.mark.parametrize(("height", "width", "ratio"), [(5, 8, 2), (8, 5, 3), (6, 7, 4), (3, 2, 8), (1, 4, 16)])
def test_equals_pillow(height, width, ratio):
    image = np.random.default_rng(0).random((height, width), dtype=np.float32)
    expected = Image.fromarray(image).resize((width * ratio, height * ratio), Image.Resampling.BICUBIC)
    result = bicubic(torch.from_numpy(image)[None, None], ratio)[0, 0].numpy()
    np.testing.assert_allclose(result, np.asarray(expected), atol=2e-6)


def test_equals_the_enlargement_in_the_official_tsfn(golden):
    expected = golden("tsfn")["up-31-3-64-8"]
    result = bicubic(inputs(31, 3, 64, 8)[0], 8).numpy()
    assert np.abs(result - expected).max() <= 1e-6 * np.abs(expected).max()


@pytest.mark.parametrize("ratio", [2, 4, 8])
def test_a_plane_stays_where_block_means_put_it(ratio):
    side = 8 * ratio
    plane = torch.arange(side, dtype=torch.float64) + 2 * torch.arange(side, dtype=torch.float64)[:, None]
    lr = torch.nn.functional.avg_pool2d(plane[None, None], ratio)
    inner = slice(2 * ratio, -2 * ratio)
    torch.testing.assert_close(bicubic(lr, ratio)[0, 0, inner, inner], plane[inner, inner])


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (5, 2)])
def test_constants_stay_constant_up_to_the_border(size):
    image = torch.full((2, 3, *size), 0.3, dtype=torch.float64)
    torch.testing.assert_close(bicubic(image, 4), torch.full((2, 3, 4 * size[0], 4 * size[1]), 0.3).double())


def test_bands_and_images_are_enlarged_alone():
    image = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(bicubic(image, 4)[1:, 2:], bicubic(image[1:, 2:], 4), rtol=0, atol=1e-14)


def test_bfloat16_is_computed_in_float32():
    image = torch.rand(1, 2, 4, 4).bfloat16()
    result = bicubic(image, 4)
    assert result.dtype == torch.float32
    assert torch.equal(result, bicubic(image.float(), 4))
