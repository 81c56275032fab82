"""What every file under methods/ must do; a file dropped in there is covered without an edit here."""

import json

import notices
import pytest
import torch
import yaml

from smifbench import FusionProblem, UserError, build_method, metrics, plugins
from smifbench.degradation.protocol import DEFAULT
from smifbench.method import PAPER_RECIPE

BANDS, MSI_BANDS = 6, 2
DEMO = yaml.safe_load((plugins.ROOT / "config" / "demo.yaml").read_text())["methods"]


every_method = pytest.mark.parametrize("name", plugins.names("methods"))
every_network = pytest.mark.parametrize(
    "name", [name for name in plugins.names("methods") if plugins.method_class(name).trainable]
)


def problem_of(ratio=4, bands=BANDS, msi_bands=MSI_BANDS):
    return FusionProblem(bands, msi_bands, ratio, psf=DEFAULT.psf(ratio))


def build(name, seed=0, ratio=4, bands=BANDS, msi_bands=MSI_BANDS, **options):
    problem = problem_of(ratio, bands, msi_bands)
    reason = plugins.method_class(name).skip(problem)
    if reason:
        pytest.skip(reason)
    torch.manual_seed(seed)
    return build_method(name, problem, **options)


def small(name):
    """Options that make a network narrow and shallow: the demo's, where it has the method."""
    return DEMO.get(name, {}).get("options", {})


def images(batch=1, height=16, width=16, ratio=4, bands=BANDS, msi_bands=MSI_BANDS, seed=1):
    """A smooth scene and its MSI, so that solvers meet something like an image: lr_hsi, hr_msi, hr_hsi."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, bands, height // ratio, width // ratio, generator=generator)
    hr_hsi = torch.nn.functional.interpolate(coarse, scale_factor=ratio, mode="bilinear") * 0.9 + 0.05
    hr_msi = hr_hsi[:, torch.linspace(0, bands - 1, msi_bands).long()].clone()
    return torch.nn.functional.avg_pool2d(hr_hsi, ratio), hr_msi, hr_hsi


@every_method
def test_says_what_it_is(name):
    cls = plugins.method_class(name)
    assert cls.title
    bibliography = (plugins.ROOT / "methods" / "references.bib").read_text()
    assert f"{{{cls.citation}," in bibliography, f"add the BibTeX entry {cls.citation} to methods/references.bib"
    json.dumps(plugins.method_options(cls))


@every_method
def test_names_its_sources(name):
    publication, text = notices.entry("methods", plugins.method_class(name).citation), notices.docstring(name)
    assert publication.get("title"), "its BibTeX entry has no title"
    assert publication.get("author"), "its BibTeX entry has no author"
    missing = [family for family in notices.families(publication) if family not in text]
    assert not missing, f"methods/{name}.py must name the authors of its publication; it lacks {missing}"
    assert letters(publication["title"]) in letters(text), f"methods/{name}.py must name its publication's title"
    assert publication.get("year", "") in text, f"methods/{name}.py must name its publication's year"
    assert notices.code_consulted(text)
    assert "OWNER/NAME" not in text, "fill in what the skeleton left open"


def letters(text):
    """The letters and digits of a text alone."""
    return "".join(filter(str.isalnum, text.lower()))


@every_method
@pytest.mark.parametrize(
    ("ratio", "height", "width"), [(4, 32, 32), (8, 32, 32), (4, 20, 36), (2, 10, 14), (16, 16, 32), (8, 8, 8)]
)
def test_output_has_the_size_of_the_msi(name, ratio, height, width):
    method = build(name, ratio=ratio).eval()
    lr_hsi, hr_msi, _ = images(1, height, width, ratio)
    with torch.no_grad():
        estimate = method(lr_hsi, hr_msi)
    assert estimate.shape == (1, BANDS, height, width)
    assert torch.isfinite(estimate).all()


@every_method
@pytest.mark.parametrize(("bands", "msi_bands"), [(1, 1), (2, 3), (17, 4)])
def test_any_number_of_bands(name, bands, msi_bands):
    method = build(name, bands=bands, msi_bands=msi_bands).eval()
    lr_hsi, hr_msi, _ = images(bands=bands, msi_bands=msi_bands)
    with torch.no_grad():
        assert method(lr_hsi, hr_msi).shape == (1, bands, 16, 16)


@every_method
def test_images_of_a_batch_do_not_see_each_other(name):
    method = build(name).double().eval()
    lr_hsi, hr_msi, _ = (image.double() for image in images(batch=2))
    with torch.no_grad():
        together = method(lr_hsi, hr_msi)
        alone = torch.cat([method(lr_hsi[i : i + 1], hr_msi[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-9)


@every_method
def test_same_seed_same_result(name):
    lr_hsi, hr_msi, _ = images()
    with torch.no_grad():
        first, again = (build(name, seed=3).eval()(lr_hsi, hr_msi) for _ in range(2))
    assert torch.equal(first, again)


@every_method
def test_evaluation_is_repeatable_and_leaves_the_inputs_alone(name):
    method = build(name).eval()
    lr_hsi, hr_msi, _ = images()
    before = lr_hsi.clone(), hr_msi.clone()
    with torch.no_grad():
        assert torch.equal(method(lr_hsi, hr_msi), method(lr_hsi, hr_msi))
    assert torch.equal(lr_hsi, before[0])
    assert torch.equal(hr_msi, before[1])


@every_method
def test_float64_agrees_with_float32(name):
    method = build(name).eval()
    lr_hsi, hr_msi, _ = images()
    with torch.no_grad():
        single = method(lr_hsi, hr_msi)
        double = method.double()(lr_hsi.double(), hr_msi.double())
    assert single.dtype == torch.float32
    assert double.dtype == torch.float64
    tolerance = 1e-3 * float(double.abs().max())
    torch.testing.assert_close(single.double(), double, rtol=0, atol=tolerance)


@every_method
def test_channels_last_gives_the_same(name):
    method = build(name).eval()
    lr_hsi, hr_msi, _ = images()
    last = [image.contiguous(memory_format=torch.channels_last) for image in (lr_hsi, hr_msi)]
    with torch.no_grad():
        plain, strided = method(lr_hsi, hr_msi), method(*last)
    torch.testing.assert_close(plain, strided, rtol=1e-3, atol=1e-4 * float(plain.abs().max()))


@pytest.fixture
def threads():
    """Sets the number of torch's threads, until the test ends."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@every_method
def test_threads_decide_no_more_than_last_digits(name, threads):
    """Of an estimate and of a gradient; docs/reproducibility.md says what many steps of training make of it."""
    method = build(name, **small(name))
    lr_hsi, hr_msi, hr_hsi = images(height=32, width=32)

    def estimate():
        with torch.no_grad():
            return method.eval()(lr_hsi, hr_msi).clamp(0, 1)[0]

    def gradient():
        torch.manual_seed(0)  # for networks that draw noise while they train
        method.zero_grad()
        method.train().training_loss(lr_hsi, hr_msi, hr_hsi, "l1").backward()
        return torch.cat([parameter.grad.flatten() for parameter in method.parameters() if parameter.grad is not None])

    def on_one_and_two(function):
        for number in (1, 2):
            threads(number)
            yield function()

    one, two = (metrics.psnr(hr_hsi[0].numpy(), image.numpy()) for image in on_one_and_two(estimate))
    assert one == pytest.approx(two, abs=1e-4)
    if method.trainable:
        one, two = on_one_and_two(gradient)
        assert torch.linalg.vector_norm(one - two) < 1e-4 * torch.linalg.vector_norm(one)


@every_method
def test_a_wrong_shape_is_told(name):
    method = build(name)
    lr_hsi, hr_msi, _ = images()
    with pytest.raises(UserError, match=r"lr_hsi has shape .*expected \(batch, 6"):
        method(lr_hsi[:, :5], hr_msi)
    with pytest.raises(UserError, match=r"hr_msi has shape .*expected \(batch, 2"):
        method(lr_hsi, hr_msi[0])
    with pytest.raises(UserError, match="at ratio 4"):
        method(lr_hsi, hr_msi[..., :12])


@every_network
def test_every_parameter_gets_a_finite_gradient_that_is_not_zero(name):
    method = build(name).train()
    lr_hsi, hr_msi, hr_hsi = images(batch=2)
    method.training_loss(lr_hsi, hr_msi, hr_hsi, "l1").backward()
    dead = []
    for parameter_name, parameter in method.named_parameters():
        if parameter.grad is None or not parameter.grad.any():
            dead.append(parameter_name)
        else:
            assert torch.isfinite(parameter.grad).all(), parameter_name
    undeclared = [name for name in dead if name not in method.dead_parameters]
    assert not undeclared, f"no gradient reaches {undeclared}; wire them, drop them or give a reason in dead_parameters"
    assert set(method.dead_parameters) <= set(dead), "dead_parameters lists parameters that do get a gradient"


@every_network
def test_own_recipe_gives_a_finite_loss(name):
    method = build(name).train()
    lr_hsi, hr_msi, hr_hsi = images(batch=2)
    loss = method.training_loss(lr_hsi, hr_msi, hr_hsi, method.recipe.loss)
    assert loss.ndim == 0
    assert torch.isfinite(loss)


@every_network
def test_bfloat16_autocast_stays_near_float32(name):
    method = build(name).eval()
    lr_hsi, hr_msi, _ = images()
    with torch.no_grad():
        exact = method(lr_hsi, hr_msi)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = method(lr_hsi, hr_msi)
    assert float((rounded.float() - exact).abs().max()) < 0.05 * float(exact.abs().max())


@every_network
def test_state_dict_round_trip(name):
    lr_hsi, hr_msi, _ = images()
    trained, fresh = build(name, seed=1).eval(), build(name, seed=2).eval()
    with torch.no_grad():
        expected = trained(lr_hsi, hr_msi)
        assert not torch.equal(fresh(lr_hsi, hr_msi), expected)
        fresh.load_state_dict(trained.state_dict())
        assert torch.equal(fresh(lr_hsi, hr_msi), expected)


@every_network
def test_compiles_to_the_same_function(name):
    method = build(name, **small(name)).eval()  # tracing takes long, layer by layer
    lr_hsi, hr_msi, _ = images()
    compiled = torch.compile(method, backend="aot_eager")
    with torch.no_grad():
        plain = method(lr_hsi, hr_msi)
        torch.testing.assert_close(compiled(lr_hsi, hr_msi), plain, rtol=1e-3, atol=1e-4 * float(plain.abs().max()))


@every_network
def test_overfits_one_patch(name):
    method = build(name).train()
    lr_hsi, hr_msi, hr_hsi = images()
    optimizer = torch.optim.Adam(method.parameters(), lr=PAPER_RECIPE.lr)
    losses = []
    while len(losses) < 40 and not (losses and max(losses[-3:]) < 0.6 * losses[0]):
        optimizer.zero_grad()
        loss = method.training_loss(lr_hsi, hr_msi, hr_hsi, "l1")
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses[-5:]) < 0.6 * losses[0]
