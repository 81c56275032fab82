"""Counts against hand-derived values, fvcore on real tensors and the real thop; measurements against known ones."""

import copy
import math
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from smifbench import plugins
from smifbench.errors import UserError
from smifbench.evaluation import cost
from smifbench.evaluation.columns import COST_COLUMNS
from smifbench.fusion import build
from smifbench.method import FusionMethod
from smifbench.problem import FusionProblem

PROBLEM = FusionProblem(bands=6, msi_bands=3, ratio=4)
PIXELS = 64 * 32


class Convolutions(FusionMethod):
    """Every kind of convolution, both ways of padding, and the two norms."""

    def __init__(self, problem):
        super().__init__(problem)
        self.head = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.slope = nn.PReLU()
        self.grouped = nn.Conv2d(8, 8, 3, padding="same", dilation=2, groups=4)
        self.even = nn.Conv2d(8, 8, 4, padding="same")
        self.down = nn.Conv2d(8, 16, 2, stride=2, padding="valid", bias=False)
        self.layer_norm = nn.LayerNorm(16)
        self.up = nn.ConvTranspose2d(16, 6, 3, stride=2, padding=1, output_padding=1, groups=2)
        self.along = nn.Conv1d(6, 6, 5, padding=2)

    def forward(self, lr_hsi, hr_msi):
        x = self.even(self.grouped(self.slope(self.norm(self.head(hr_msi)))))
        x = self.layer_norm(self.down(x).movedim(1, 3)).movedim(3, 1)
        x = self.up(x)
        x = self.along(x.flatten(2)).view_as(x)
        return x + F.interpolate(lr_hsi, x.shape[-2:], mode="bilinear")


CONVOLUTION_MACS = PIXELS * (
    27 * 8 + 2 * 8 + 18 * 8 + 128 * 8 + 32 * 16 // 4 + 5 * 16 // 4 + 27 * 16 // 4 + 30 * 6 + 4 * 6
)


def test_latency_is_taken_where_fvcore_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "fvcore.nn", None)
    row = cost.cost_row(cost.FusedImage("toy", PROBLEM, 16, 16), "ssr_net", "default", {}, repeats=1)
    assert math.isnan(row["gmacs"])
    assert row["latency_ms"] > 0
    assert row["gmacs_thop"] > 0


class Attention(FusionMethod):
    """Global attention of 2 heads over all pixels, fused or written out."""

    def __init__(self, problem, form="fused"):
        super().__init__(problem)
        self.form = form
        self.project = nn.Linear(3, 3 * 8)
        self.tail = nn.Linear(8, 6)

    def forward(self, lr_hsi, hr_msi):
        tokens = self.project(hr_msi.flatten(2).transpose(1, 2))
        query, key, value = tokens.unflatten(2, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        mixed = getattr(self, f"_{self.form}")(query, key, value)
        out = self.tail(mixed.transpose(1, 2).flatten(2)).transpose(1, 2).unflatten(2, hr_msi.shape[-2:])
        return out + F.interpolate(lr_hsi, hr_msi.shape[-2:], mode="bicubic")

    def _fused(self, query, key, value):
        return F.scaled_dot_product_attention(query, key, value)

    def _matmul(self, query, key, value):
        return (query @ key.transpose(-1, -2)).softmax(-1) @ value

    def _einsum(self, query, key, value):
        scores = torch.einsum("bhqc,bhkc->bhqk", query, key).softmax(-1)
        return torch.einsum("bhqk,bhkc->bhqc", scores, value)

    def _baddbmm(self, query, key, value):
        query, key, bias = query.flatten(0, 1), key.flatten(0, 1), query.new_zeros(1, 1, 1)
        return (torch.baddbmm(bias, query, key.transpose(1, 2)).softmax(-1) @ value.flatten(0, 1)).view_as(value)


class Anything(FusionMethod):
    """A network of one function, for what can go wrong."""

    def __init__(self, problem, function, *layers):
        super().__init__(problem)
        self.function = function
        self.layers = nn.ModuleList(layers)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, lr_hsi, hr_msi):
        return self.function(self, hr_msi) * self.scale


class Solver(FusionMethod):
    """A method without weights."""

    trainable = False

    def forward(self, lr_hsi, hr_msi):
        return F.interpolate(lr_hsi, hr_msi.shape[-2:])


class Opaque(torch.autograd.Function):
    """An operation that jit cannot look into."""

    @staticmethod
    def forward(ctx, x):
        return x * 2


def real_fvcore(method, height, width):
    """What fvcore alone counts on real tensors."""
    from fvcore.nn import FlopCountAnalysis

    images = torch.zeros(1, 6, height // 4, width // 4), torch.zeros(1, 3, height, width)
    return FlopCountAnalysis(copy.deepcopy(method).eval(), images).unsupported_ops_warnings(False).total()


def real_thop(module, *images):
    thop = pytest.importorskip("thop")
    return thop.profile(copy.deepcopy(module), images, verbose=False)[0]


def test_every_layer_costs_what_a_hand_count_says():
    assert cost.count_macs(Convolutions(PROBLEM), 64, 32) == CONVOLUTION_MACS


def test_shape_only_tensors_count_as_real_ones():
    # fvcore alone has no rule for a padding by name, which is why those layers are left out.
    method = Convolutions(PROBLEM)
    method.grouped, method.even = nn.Conv2d(8, 8, 3, dilation=2, padding=2, groups=4), nn.Conv2d(8, 8, 5, padding=2)
    method.down.padding = (0, 0)
    assert cost.count_macs(method, 64, 32) == real_fvcore(method, 64, 32)


@pytest.mark.parametrize("form", ["fused", "matmul", "einsum", "baddbmm"])
@pytest.mark.parametrize("size", [16, 1024])
def test_attention_costs_its_two_products_in_every_form(form, size):
    pixels = size * size
    linear = pixels * (3 * 24 + 8 * 6)
    assert cost.count_macs(Attention(PROBLEM, form), size, size) == linear + 2 * pixels**2 * 8


def test_a_count_leaves_the_method_as_it_was():
    method = Convolutions(PROBLEM).train()
    before = copy.deepcopy(method.state_dict())
    for counter in (cost.count_macs, cost.count_macs_thop):
        counter(method, 64, 32)
    assert method.training
    assert not any(module._forward_hooks for module in method.modules())
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())


def test_an_operator_without_a_rule_is_named():
    with pytest.raises(UserError, match=r"aten::cdist.*NEGLIGIBLE"):
        cost.count_macs(Anything(PROBLEM, lambda net, x: torch.cdist(x, x)), 16, 16)
    with pytest.raises(UserError, match=r"prim::PythonOp\.Opaque"):
        cost.count_macs(Anything(PROBLEM, lambda net, x: Opaque.apply(x)), 16, 16)


@pytest.mark.parametrize("counter", [cost.count_macs, cost.count_macs_thop])
def test_a_forward_that_reads_values_is_told_so(counter):
    with pytest.raises(UserError, match=r"Anything cannot be counted.*reads values"):
        counter(Anything(PROBLEM, lambda net, x: x * x.max().item()), 16, 16)
    with pytest.raises(RuntimeError, match="dimension of length 15"):  # a defect of the network stays what it is
        counter(Anything(PROBLEM, lambda net, x: x + x[..., 1:]), 16, 16)


VALUE_BOUND = {
    "equal": lambda x: torch.equal(x, x),
    "bincount": lambda x: x.long().flatten().bincount(),
    "unique": torch.unique,
    "lstsq": lambda x: torch.linalg.lstsq(x, x).solution,
}
"""Operators that torch has not written for shape-only tensors, and says so in other words."""


@pytest.mark.parametrize("counter", [cost.count_macs, cost.count_macs_thop])
@pytest.mark.parametrize("name", VALUE_BOUND)
def test_an_operator_that_shapes_do_not_suffice_for_is_told(name, counter):
    method = Anything(PROBLEM, lambda net, x: VALUE_BOUND[name](x))
    with pytest.raises(UserError, match=rf"Anything cannot be counted.*on shapes alone \(aten::.*{name}"):
        counter(method, 16, 16)


def test_autocast_does_not_stop_a_count():
    def function(net, x):
        with torch.autocast(x.device.type, enabled=False):
            return net.layers[0](x)

    method = Anything(PROBLEM, function, nn.Conv2d(3, 6, 1))
    assert cost.count_macs(method, 16, 16) == cost.count_macs_thop(method, 16, 16) == 256 * 18
    with torch.autocast("cpu", enabled=True):
        assert torch.is_autocast_enabled("cpu")


def test_sizes_must_be_multiples_of_the_ratio():
    with pytest.raises(UserError, match="multiple of ratio 4"):
        cost.count_macs(Convolutions(PROBLEM), 64, 30)


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(3, 8, 3, padding=1),
        nn.Conv2d(3, 6, (5, 2), stride=2, groups=3, bias=False),
        nn.ConvTranspose2d(3, 6, 5, stride=3, output_padding=1, groups=3),
        nn.Sequential(nn.Flatten(2), nn.Conv1d(3, 2, 3)),
        nn.Linear(16, 5),
        nn.LayerNorm(16),
        nn.LayerNorm(16, elementwise_affine=False),
        nn.BatchNorm2d(3),
        nn.BatchNorm2d(3, affine=False),
        nn.InstanceNorm2d(3),
        nn.PReLU(3),
        nn.LeakyReLU(),
        nn.GELU(),
        nn.Softmax(dim=1),
        nn.Softmax(dim=-1),
        nn.AvgPool2d(2),
        nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(1),
        nn.AdaptiveAvgPool2d((3, 5)),
        nn.Upsample(scale_factor=2, mode="nearest"),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.Upsample(scale_factor=2, mode="bicubic"),
        nn.UpsamplingBilinear2d(scale_factor=2),
        nn.PixelShuffle(1),
        nn.Dropout(),
        type("Convolution", (nn.Conv2d,), {})(3, 4, 1),
    ],
    ids=repr,
)
def test_thop_rules_are_those_of_thop(module):
    method = Anything(PROBLEM, lambda net, x: net.layers[0](x), module)
    expected = real_thop(nn.Sequential(module), torch.zeros(1, 3, 16, 16))
    assert cost.count_macs_thop(method, 16, 16) == expected


@pytest.mark.parametrize(
    "method", [Convolutions(PROBLEM), Attention(PROBLEM)], ids=lambda method: type(method).__name__
)
def test_thop_counts_of_whole_networks(method):
    assert cost.count_macs_thop(method, 64, 32) == real_thop(
        method, torch.zeros(1, 6, 16, 8), torch.zeros(1, 3, 64, 32)
    )


@pytest.mark.parametrize("name", ["ssr_net", "tsfn"])
def test_thop_counts_of_real_methods(name):
    method = build.build_method(name, FusionProblem(31, 3, 4))
    assert cost.count_macs_thop(method, 32, 16) == real_thop(
        method, torch.zeros(1, 31, 8, 4), torch.zeros(1, 3, 32, 16)
    )


@pytest.mark.parametrize("name", [name for name in plugins.names("methods") if plugins.method_class(name).trainable])
def test_every_network_can_be_counted_at_any_size(name):
    method = build.build_method(name, PROBLEM)
    counts = [counter(method, 20, 36) for counter in (cost.count_macs, cost.count_macs_thop)]
    assert all(count > 0 and count.is_integer() for count in map(float, counts))


@pytest.fixture
def repeatable():
    """Torch as the steps set it, which writes some operators out in others."""
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("warn")
    yield
    torch.set_deterministic_debug_mode(before)


@pytest.mark.parametrize("name", ["ssr_net", "lla_net", "smif_net"])
def test_counts_are_the_same_where_torch_is_to_repeat_its_results(name, repeatable):
    method = build.build_method(name, PROBLEM)
    counted = [counter(method, 20, 36) for counter in (cost.count_macs, cost.count_macs_thop)]
    assert torch.get_deterministic_debug_mode() == 1
    torch.set_deterministic_debug_mode("default")
    assert counted == [counter(method, 20, 36) for counter in (cost.count_macs, cost.count_macs_thop)]


def test_a_layer_called_twice_counts_twice_and_a_module_may_add_its_own():
    class Fused(nn.Module):
        def forward(self, x, factor):
            return x.softmax(-1) * factor

        def thop_macs(self, x, factor, *, output):
            return factor * output.numel()

    method = Anything(PROBLEM, lambda net, x: net.layers[1](net.layers[0](net.layers[0](x)), 7), nn.PReLU(), Fused())
    assert cost.count_macs_thop(method, 16, 16) == (2 + 7) * 3 * 256


class Block(nn.Module):
    """Layers one after the other, the whole `times` over."""

    def __init__(self, *layers, times=1):
        super().__init__()
        self.layers, self.times = nn.ModuleList(layers), times

    def forward(self, x):
        for _ in range(self.times):
            for layer in self.layers:
                x = layer(x)
        return x


def sharing():
    """Networks with a convolution or an activation at several places."""
    layer, slope = nn.Conv2d(3, 3, 3, padding=1), nn.PReLU()
    yield pytest.param(Block(Block(layer), Block(layer)), id="two parents")
    yield pytest.param(Block(Block(layer, times=2), Block(layer), Block(Block(layer))), id="three parents, four calls")
    yield pytest.param(Block(layer, layer), id="one parent")
    yield pytest.param(nn.Sequential(nn.Sequential(layer, slope), nn.Sequential(nn.Conv2d(3, 3, 1), slope)), id="slope")
    block = Block(layer, nn.Sequential(nn.BatchNorm2d(3), nn.Softmax(1)))
    yield pytest.param(Block(block, Block(block), nn.Sequential(block)), id="a block of layers")


@pytest.mark.parametrize("network", sharing())
def test_shared_modules_count_as_the_real_counters_have_them(network):
    method = Anything(PROBLEM, lambda net, x: net.layers[0](x), network)
    images = torch.zeros(1, 6, 4, 4), torch.zeros(1, 3, 16, 16)
    assert cost.count_macs_thop(method, 16, 16) == real_thop(method, *images)
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in network.modules()) * 3 * 2 * 3 * 256  # three calls
    assert cost.count_macs(method, 16, 16) - norms == real_torch(method, *images)


def real_torch(method, *images):
    """Multiply-adds by torch's own counter, which has no norms."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        copy.deepcopy(method).eval()(*images)
    return counter.get_total_flops() / 2


# Of an image (1, 3, 16, 16), with its multiply-adds by hand; torch's counter knows no products with vectors.
PRODUCTS = {
    "2-D @ 4-D": (lambda x: x.new_zeros(5, 16) @ x, 3 * 5 * 16 * 16),
    "4-D @ 2-D": (lambda x: x @ x.new_zeros(16, 5), 3 * 5 * 16 * 16),
    "3-D @ 4-D": (lambda x: x.new_zeros(3, 5, 16) @ x, 3 * 5 * 16 * 16),
    "broadcast heads": (lambda x: x.new_zeros(4, 3, 3) @ x.flatten(2)[:, None], 4 * 9 * 256),
    "matrix @ vector": (lambda x: x @ x.new_zeros(16), 3 * 256),
    "vector @ matrix": (lambda x: x.new_zeros(3) @ x[0].flatten(1), 3 * 256),
    "vector @ 4-D": (lambda x: x.new_zeros(16) @ x, 3 * 256),
    "vector @ vector": (lambda x: x[0, 0, 0] @ x[0, 0, 1], 16),
    "mm": (lambda x: x.new_zeros(5, 3).mm(x[0].flatten(1)), 15 * 256),
    "mv": (lambda x: x[0, 0].mv(x[0, 0, 0]), 256),
    "dot": (lambda x: torch.dot(x[0, 0, 0], x[0, 0, 1]), 16),
    "addmv": (lambda x: torch.addmv(x[0, 0, 0], x[0, 0], x[0, 0, 1]), 256),
    "addmm": (lambda x: torch.addmm(x[0, 0], x[0, 0], x[0, 1]), 4096),
    "addbmm": (lambda x: torch.addbmm(x[0, 0], x[0], x[0]), 3 * 4096),
    "outer": (lambda x: torch.outer(x[0, 0, 0], x[0, 0, 1]), 256),
    "inner": (lambda x: torch.inner(x[0], x.new_zeros(5, 16)), 3 * 16 * 5 * 16),
    "tensordot": (lambda x: torch.tensordot(x, x.new_zeros(5, 3), ([1], [1])), 15 * 256),
    "linear of a vector": (lambda x: F.linear(x[0, 0, 0], x.new_zeros(5, 16)), 80),
    "bilinear": (lambda x: F.bilinear(x, x, x.new_zeros(5, 16, 16)), 48 * 5 * 256),
    "einsum": (lambda x: torch.einsum("oc,bchw->bohw", x.new_zeros(5, 3), x), 15 * 256),
    "einsum of three": (
        lambda x: torch.einsum("oc,bcn,pn->bop", x.new_zeros(5, 3), x.flatten(2), x.new_zeros(7, 256)),
        None,  # depends on the order, which torch chooses
    ),
    "einsum with dots": (lambda x: torch.einsum("oc,...chw->...ohw", x.new_zeros(5, 3), x), 15 * 256),
    "einsum of elements": (lambda x: torch.einsum("bchw,c->bchw", x, x.new_zeros(3)), 0),
    "cov": (lambda x: torch.cov(x[0].flatten(1), correction=0), 9 * 256),
    "cov of columns": (lambda x: x[0].flatten(1).T.cov(), 256 * 3 * 256),
    "corrcoef": (lambda x: torch.corrcoef(x[0].flatten(1)), 9 * 256),
    "unbatched": (lambda x: F.conv2d(x[0], x.new_zeros(5, 3, 1, 1)), 15 * 256),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_of_any_shapes(name):
    function, by_hand = PRODUCTS[name]
    method = Anything(PROBLEM, lambda net, x: function(x))
    by_torch = real_torch(method, torch.zeros(1, 6, 4, 4), torch.zeros(1, 3, 16, 16))
    count = cost.count_macs(method, 16, 16)
    assert count == (by_torch if by_hand is None else by_hand)
    assert by_torch in (0, count)


def test_recurrent_layers_have_no_rule():
    with pytest.raises(UserError, match="recurrent"):
        cost.count_macs_thop(Anything(PROBLEM, lambda net, x: x, nn.LSTM(3, 3)), 16, 16)


def test_solvers_have_no_counts():
    assert math.isnan(cost.count_macs(Solver(PROBLEM), 64, 64))
    assert math.isnan(cost.count_macs_thop(Solver(PROBLEM), 64, 64))
    assert cost.count_parameters(Solver(PROBLEM)) == 0


def test_parameters_are_the_trainable_ones_once():
    layer = nn.Linear(5, 7)
    frozen = nn.Linear(3, 3).requires_grad_(False)
    assert cost.count_parameters(Anything(PROBLEM, lambda net, x: x, layer, layer, frozen)) == 5 * 7 + 7 + 1


def test_memory_is_that_of_weights_images_and_what_a_forward_holds_at_once():
    weights = torch.zeros(1000, 250)  # 1 MB

    def function(net, x):
        for _ in range(3):
            held = torch.zeros(2_000_000)  # 8 MB, freed in every round
        return x + held.sum()

    method = Anything(PROBLEM, function)
    method.register_buffer("weights", weights)
    images_mb = (64 * 64 * 3 + 16 * 16 * 6) * 4 / 1e6
    measured = cost.measure(method, 64, 64, repeats=1)
    # The name is bound until the new tensor exists, so that two are held at once.
    assert measured.peak_memory_mb == pytest.approx(1 + images_mb + 16, rel=0.02)


def test_latency_is_the_median_of_warm_forwards():
    calls = []
    method = Anything(PROBLEM, lambda net, x: calls.append(net.training) or x)
    measured = cost.measure(method, 16, 16, repeats=4)
    assert calls == [False] * 5
    assert 0 < measured.latency_ms < 1000
    assert "thread" in measured.device


def test_a_solver_can_be_measured():
    assert cost.measure(Solver(PROBLEM), 64, 64, repeats=1).peak_memory_mb >= 6 * 64 * 64 * 4 / 1e6


def test_a_row_holds_every_column_in_its_unit():
    image = cost.FusedImage("cave", FusionProblem(31, 3, 4), 32, 64)
    row = cost.cost_row(image, "ssr_net", "default", {}, repeats=1)
    assert list(row) == [column for column in COST_COLUMNS if column != "published_tflops"]
    assert row["params"] == 3 * (31 * 31 * 9 + 31)
    assert row["gmacs"] == pytest.approx(32 * 64 * (3 * 31 * 31 * 9 + 4 * 31) / 1e9, rel=1e-12)
    assert row["gmacs_thop"] == pytest.approx(32 * 64 * 3 * 31 * 31 * 9 / 1e9, rel=1e-12)
    assert (row["ratio"], row["height"], row["width"]) == (4, 32, 64)
    assert math.isnan(cost.cost_row(image, "bicubic", "default", {}, repeats=1)["gmacs"])
