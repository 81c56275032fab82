"""What a network costs: multiply-adds by two counters, parameters, latency and memory.

Both counters run the network on shape-only ("meta") tensors, so that a 1024 x 1024 image is counted exactly and in
seconds, without its arithmetic or its memory.

- fvcore counts the operators that the network runs. Here each operator has a rule or is on a short list of
  negligible ones; any other is an error.
- thop counts leaf modules, by rules of its own. The SMIF-NET paper's FLOPs columns hold its counts, cut off after
  three decimals (some after two), so they can be explained only under these rules.
"""

import copy
import logging
import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from smifbench.errors import UserError, first_line
from smifbench.fusion import build
from smifbench.method import FusionMethod
from smifbench.problem import FusionProblem
from smifbench.system.devices import device_name
from smifbench.system.memory import peak_bytes

logger = logging.getLogger(__name__)

NEGLIGIBLE = {
    # One or a few operations for an element, no sum over channels, taps or pixels: arithmetic, ...
    *("add", "addcdiv", "addcmul", "div", "lerp", "mul", "neg", "rsub", "sub"),
    *("abs", "cos", "exp", "log", "pow", "reciprocal", "rsqrt", "sign", "sin", "sqrt", "square"),
    # ... activations, ...
    *("celu", "elu", "erf", "gelu", "hardtanh", "leaky_relu", "mish", "prelu", "relu6", "selu", "sigmoid", "silu"),
    *("softplus", "softsign", "tanh"),
    # ... and comparisons.
    *("bitwise_and", "bitwise_or", "clamp_max", "clamp_min", "isfinite", "isnan", "le", "logical_and", "logical_not"),
    *("logical_or", "lt", "maximum", "minimum", "ne", "nan_to_num", "where"),
    # One pass over the elements: sums, norms, softmax. thop's count has softmax modules, fvcore's never had.
    *("amax", "amin", "cumsum", "diff", "linalg_vector_norm", "log_softmax", "max", "mean", "min", "norm", "softmax"),
    *("std", "std_mean", "sum", "var", "var_mean"),
    # Pooling windows are small and hold no weights.
    *("adaptive_max_pool2d", "avg_pool2d", "max_pool2d"),
    # Bicubic resizing: 16 taps for an element whatever the width of the network, once or twice in a forward.
    *("upsample_bicubic2d", "_upsample_bicubic2d_aa", "_upsample_bilinear2d_aa"),
    # FFT: log2(H W) for an element, once in a step of a solver.
    *("complex", "conj", "fft_fft2", "fft_ifft2", "fft_irfft2", "fft_rfft2", "imag", "real", "view_as_complex"),
    *("view_as_real",),
    # Data movement and constants, beside those that fvcore leaves out itself.
    *(
        "_shape_as_tensor",
        "adjoint",
        "alias",
        "as_strided",
        "broadcast_tensors",
        "clone",
        "col2im",
        "diagonal",
        "expand_as",
    ),
    *("fill", "flip", "im2col", "index_add", "index_copy", "index_put", "index_select", "item", "lift_fresh"),
    *(
        "linspace",
        "mH",
        "mT",
        "masked_select",
        "meshgrid",
        "movedim",
        "moveaxis",
        "new_ones",
        "numpy_T",
        "ones_like",
        "pad",
    ),
    *("pixel_shuffle", "pixel_unshuffle", "reflection_pad2d", "repeat", "repeat_interleave", "replication_pad2d"),
    *("reshape_as", "rot90", "scalar_tensor", "scatter", "swapaxes", "tile", "unflatten", "unfold", "view_as", "zero"),
}
"""Operators that count 0 by decision, by their names in torch; each with its in-place twin."""

_Sides = int | Sequence[int]


def count_parameters(method: nn.Module) -> int:
    """Number of trainable parameters, shared ones once; 0 for a solver."""
    return sum(parameter.numel() for parameter in method.parameters() if parameter.requires_grad)


def count_macs(method: FusionMethod, height: int, width: int) -> float:
    """Multiply-adds of one forward of one image by fvcore.

    The conventions are fvcore's own, so that counts compare with published ones: a multiply-add is 1; a layer norm
    counts 5 and a batch norm 2 for an element, bilinear resizing 4 for an element of its output; biases and the
    operators in `NEGLIGIBLE` count 0. Attention counts its two products, fused or not.

    Parameters
    ----------
    method
        Any method; it is not changed. It is counted in evaluation mode.
    height, width
        Size in pixels of the HR image, multiples of the ratio.

    Returns
    -------
    float
        A whole number, or NaN for a method that solves instead of learning.

    Raises
    ------
    UserError
        When the forward uses an operator without a rule (the message names it), or reads values of tensors.
    """
    if not method.trainable:
        return math.nan
    from fvcore.nn import FlopCountAnalysis  # here, because networks train on machines that do not have it

    network, images = _shape_only(method, height, width)
    analysis = FlopCountAnalysis(network, images).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    analysis.set_op_handle(**{f"aten::{name}{twin}": None for name in NEGLIGIBLE for twin in ("", "_")})
    analysis.set_op_handle(**{f"aten::{name}": rule for name, rule in PRODUCTS.items()})
    with _without_values(method):
        total = float(analysis.total())
    if unknown := sorted(analysis.unsupported_ops()):
        raise UserError(
            f"{type(method).__name__} uses {', '.join(unknown)}, for which smifbench/evaluation/cost.py has no rule; "
            "give it a handle in count_macs, or add it to NEGLIGIBLE if it costs next to nothing"
        )
    return total


def count_macs_thop(method: FusionMethod, height: int, width: int) -> float:
    """Operations of one forward of one image under the rules of thop 0.1.1, the SMIF-NET paper's counter.

    thop sees modules of exactly the types in `THOP_RULES`, and nothing else: no products of attention, no functional
    call, no subclass. A transposed convolution costs it the kernel's area for an element of the *output*, which is
    stride^2 too many. It counts a norm at 4 for an element if affine, else 2; a PReLU at 1; a softmax module at
    3n - 1 for a row of n. Every call of a module that k parents share counts k^2 times: it is watched k times over, and
    its sum is taken from each parent.

    A module that replaces what thop would have counted in the authors' code (a softmax module by fused attention,
    say) defines `thop_macs(*inputs, output) -> float`: what to add for a call, beside its children's counts.

    Parameters and return value are those of `count_macs`.

    Raises
    ------
    UserError
        When the forward reads values of tensors, or the network is recurrent (thop counts it by rules not given here).
    """
    if not method.trainable:
        return math.nan
    network, images = _shape_only(method, height, width)
    places = _places(network)
    total = 0.0

    def count(module: nn.Module, inputs: tuple, output: Any) -> None:
        nonlocal total
        if rule := THOP_RULES.get(type(module)):
            total += places[module] ** 2 * rule(module, inputs[0], output)
        if own_rule := getattr(module, "thop_macs", None):
            total += places[module] ** 2 * own_rule(*inputs, output=output)

    for module in network.modules():
        if isinstance(module, nn.RNNBase | nn.RNNCellBase):
            raise UserError(
                f"{type(method).__name__} is recurrent; give it a rule in THOP_RULES of smifbench/evaluation/cost.py"
            )
        module.register_forward_hook(count)
    with torch.no_grad(), _without_values(method):
        network(*images)
    return total


def _places(network: nn.Module) -> Counter[nn.Module]:
    """How many ways lead from the network down to each of its modules, by parents that differ."""
    found = Counter([network])
    for child in network.children():
        found += _places(child)
    return found


def _thop_convolution(module: Any, x: Tensor, y: Tensor) -> float:
    return y.numel() * (module.in_channels // module.groups) * math.prod(module.kernel_size)


def _thop_norm(module: nn.Module, x: Tensor, y: Tensor) -> float:
    affine = getattr(module, "affine", False) or getattr(module, "elementwise_affine", False)
    return (4 if affine else 2) * x.numel()


def _thop_softmax(module: Any, x: Tensor, y: Tensor) -> float:
    row = x.shape[module.dim]
    return x.numel() // row * (3 * row - 1)


def _thop_adaptive_pool(module: nn.Module, x: Tensor, y: Tensor) -> float:
    window = math.prod(x.shape[2:]) / math.prod(y.shape[2:])
    return math.floor((window + 1) * y.numel())


def _thop_upsample(module: nn.Upsample, x: Tensor, y: Tensor) -> float:
    return {"nearest": 1, "linear": 5, "bilinear": 11, "bicubic": 259}.get(module.mode, 0) * y.numel()


THOP_RULES: dict[type[nn.Module], Callable[[Any, Tensor, Tensor], float]] = {
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), _thop_convolution),
    **dict.fromkeys((nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d), _thop_convolution),
    nn.Linear: lambda module, x, y: y.numel() * module.in_features,
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm), _thop_norm),
    **dict.fromkeys((nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.LayerNorm), _thop_norm),
    nn.PReLU: lambda module, x, y: x.numel(),
    nn.Softmax: _thop_softmax,
    **dict.fromkeys((nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), lambda module, x, y: y.numel()),
    **dict.fromkeys((nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d), _thop_adaptive_pool),
    **dict.fromkeys((nn.Upsample, nn.UpsamplingBilinear2d, nn.UpsamplingNearest2d), _thop_upsample),
}
"""thop's rules: (module, input, output) -> operations. Modules of other types count 0."""


@dataclass(frozen=True)
class Measurement:
    """Median latency in milliseconds, peak memory in MB (10^6 bytes) and the device that they were taken on."""

    latency_ms: float
    peak_memory_mb: float
    device: str


def measure(
    method: FusionMethod, height: int, width: int, repeats: int = 10, device: str | torch.device = "cpu"
) -> Measurement:
    """Time one forward of one image and find its peak memory.

    Parameters
    ----------
    method
        Any method, solvers included; it is moved to `device` and left in evaluation mode.
    height, width
        Size in pixels of the HR image, multiples of the ratio. The images are uniform noise.
    repeats
        Timed forwards, after one that is not timed; at least 1.
    device
        Where to run, such as `"cpu"` or `"cuda"`.

    Returns
    -------
    Measurement
        Median wall time of the timed forwards. Memory is that of weights, both images and the largest sum of tensors
        that torch held at once during the forward (in torch's allocator on a GPU; on a CPU as torch's profiler sees
        it, which is blind to what NumPy and SciPy allocate).
    """
    device = torch.device(device)
    method.to(device).eval()
    generator = torch.Generator().manual_seed(0)
    shapes = _images(method, height, width)
    images = [torch.rand(image.shape, generator=generator).to(device, image.dtype) for image in shapes]
    with torch.inference_mode():
        peak = peak_bytes(lambda: method(*images), device)
        seconds = [_seconds(method, images, device) for _ in range(repeats)]
    resident = sum(tensor.nbytes for tensor in (*method.parameters(), *method.buffers(), *images))
    return Measurement(1e3 * statistics.median(seconds), (resident + peak) / 1e6, device_name(device))


@dataclass(frozen=True)
class FusedImage:
    """What a cost is of: one test image of a data set, `height` x `width` HR pixels, and what is known of its pair."""

    dataset: str
    problem: FusionProblem
    height: int
    width: int


def cost_row(
    image: FusedImage, method: str, variant: str, options: dict, repeats: int = 10, device: str | torch.device = "cpu"
) -> dict[str, object]:
    """Build a method and return its row of `cost.csv`.

    Parameters
    ----------
    image
        What is fused.
    method, variant, options
        What is built: the method's name, the variant's name and its options.
    repeats, device
        See `measure`.

    Returns
    -------
    dict
        A value for each of `COST_COLUMNS` but `published_tflops`; `gmacs` and `gmacs_thop` in 10^9, NaN for solvers;
        `gmacs` is NaN without fvcore, too.
    """
    network = build.build_method(method, image.problem, **options)
    measured = measure(network, image.height, image.width, repeats, device)
    return {
        "dataset": image.dataset,
        "ratio": image.problem.ratio,
        "method": method,
        "variant": variant,
        "height": image.height,
        "width": image.width,
        "params": count_parameters(network),
        "gmacs": _gmacs(network, image),
        "gmacs_thop": count_macs_thop(network, image.height, image.width) / 1e9,
        "latency_ms": measured.latency_ms,
        "peak_memory_mb": measured.peak_memory_mb,
        "device": measured.device,
    }


def _gmacs(method: FusionMethod, image: FusedImage) -> float:
    """Multiply-adds in 10^9, or NaN where fvcore is not installed: latency is also taken on bare nodes."""
    try:
        return count_macs(method, image.height, image.width) / 1e9
    except ModuleNotFoundError:
        logger.warning("gmacs stay empty, because fvcore is not installed")
        return math.nan


def _images(method: FusionMethod, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Shape-only images of a batch of one, in the precision of the weights."""
    problem = method.problem
    if height % problem.ratio or width % problem.ratio:
        raise UserError(f"an image of {height} x {width} is no multiple of ratio {problem.ratio}; crop it")
    dtype = next((parameter.dtype for parameter in method.parameters()), torch.float32)
    lr_size = height // problem.ratio, width // problem.ratio
    return (
        torch.empty(1, problem.bands, *lr_size, dtype=dtype, device="meta"),
        torch.empty(1, problem.msi_bands, height, width, dtype=dtype, device="meta"),
    )


def _shape_only(method: FusionMethod, height: int, width: int) -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    """Copy a method without its values, in evaluation mode, and make images for it."""
    shapes: dict[int, Any] = {id(buffer): torch.empty_like(buffer, device="meta") for buffer in method.buffers()}
    for parameter in method.parameters():
        shapes[id(parameter)] = nn.Parameter(torch.empty_like(parameter, device="meta"), parameter.requires_grad)
    return copy.deepcopy(method, shapes).eval(), _images(method, height, width)


@contextmanager
def _without_values(method: FusionMethod) -> Iterator[None]:
    """Let a forward run, and be traced, on shape-only tensors; raises UserError when it needs values."""
    idle: dict[str, Any] = {
        "__init__": lambda self, *args, **kwargs: None,
        "__enter__": lambda self: self,
        "__exit__": lambda *args: None,
    }
    # Where torch is to repeat its results, enlargement is written out in other operators, which cannot be traced.
    repeats = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("default")
    try:
        # Autocast refuses the "meta" device. It changes precision, which no count depends on.
        with mock.patch.multiple(torch.autocast, **idle), _Traceable():
            yield
    except RuntimeError as error:
        if "meta" not in str(error).lower():
            raise
        raise UserError(
            f"{type(method).__name__} cannot be counted, because its forward reads values of tensors, mixes devices or "
            f"calls an operator that does not run on shapes alone ({first_line(error)}); branch on shapes only and "
            "keep constants as buffers"
        ) from error
    finally:
        torch.set_deterministic_debug_mode(repeats)


class _Traceable(TorchFunctionMode):
    """Call functions by operators that the tracer records and that run on shapes alone.

    Convolutions: their operator is `aten::_convolution`. Real tensors reach it from `conv2d`; shape-only ones take a
    short cut around it, of which nothing would be recorded. Covariances: `cov` compares values of its weights.
    """

    def __torch_function__(self, function: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if function in (torch.conv1d, torch.conv2d, torch.conv3d):
            return _convolution(*args, **kwargs)
        if function in (torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d):
            return _transposed_convolution(*args, **kwargs)
        if function in (torch.cov, torch.corrcoef, Tensor.cov, Tensor.corrcoef):
            return _covariance(*args, **kwargs)
        return function(*args, **kwargs)


def _convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: _Sides = 1,
    padding: _Sides | str = 0,
    dilation: _Sides = 1,
    groups: int = 1,
) -> Tensor:
    axes = weight.ndim - 2
    if x.ndim == axes + 1:
        return _convolution(x[None], weight, bias, stride, padding, dilation, groups)[0]
    stride, dilation = _each(stride, axes), _each(dilation, axes)
    if padding == "same":
        spare = [(side - 1) * step for side, step in zip(weight.shape[2:], dilation, strict=True)]
        x = F.pad(x, [part for both in reversed(spare) for part in (both // 2, both - both // 2)])
    padding = _each(0 if isinstance(padding, str) else padding, axes)
    switches = False, False, False, False
    return torch._convolution(x, weight, bias, stride, padding, dilation, False, _each(0, axes), groups, *switches)


def _transposed_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: _Sides = 1,
    padding: _Sides = 0,
    output_padding: _Sides = 0,
    groups: int = 1,
    dilation: _Sides = 1,
) -> Tensor:
    axes = weight.ndim - 2
    if x.ndim == axes + 1:
        return _transposed_convolution(x[None], weight, bias, stride, padding, output_padding, groups, dilation)[0]
    stride, padding, extra, dilation = (_each(sides, axes) for sides in (stride, padding, output_padding, dilation))
    switches = False, False, False, False
    return torch._convolution(x, weight, bias, stride, padding, dilation, True, extra, groups, *switches)


def _covariance(input: Tensor, **weighting: Any) -> Tensor:
    """Return the product behind `cov` and `corrcoef`, of the shape of theirs; only the first has keywords."""
    rows = input.reshape(-1, input.shape[-1])
    rows = rows - rows.mean(1, keepdim=True)
    return (rows @ rows.mH).squeeze()


def _each(sides: _Sides, axes: int) -> list[int]:
    return [sides] * axes if isinstance(sides, int) else list(sides) * (axes // len(sides))


def _shape(value: Any) -> list[int]:
    """Sides of a traced tensor (`torch._C.Value`)."""
    return value.type().sizes()


def _attention(inputs: list, outputs: list) -> int:
    """Products query key^T (L x E x S) and map value (L x S x V) of each head."""
    query, key, value = (_shape(tensor) for tensor in inputs[:3])
    return math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _product(first: int) -> Callable[[list, list], int]:
    """Rule of a product of matrices or vectors, or of batches of them, whose left factor is the input `first`.

    Each element of the outcome sums over the left factor's last side.
    """

    def macs(inputs: list, outputs: list) -> int:
        left, right = (_shape(factor) for factor in inputs[first : first + 2])
        batch = torch.broadcast_shapes(left[:-2], right[:-2])
        return math.prod(batch) * math.prod(left[-2:]) * (right[-1] if len(right) > 1 else 1)

    return macs


def _summed_product(inputs: list, outputs: list) -> int:
    """Products of a batch, summed: `addbmm(bias, left, right)`."""
    return math.prod(_shape(inputs[1])) * _shape(inputs[2])[-1]


def _outer(inputs: list, outputs: list) -> int:
    return math.prod(_shape(inputs[0])) * math.prod(_shape(inputs[1]))


def _inner(inputs: list, outputs: list) -> int:
    """Inner products of the last sides of two tensors of any shapes."""
    left, right = (_shape(factor) for factor in inputs[:2])
    return math.prod(left) * math.prod(right[:-1])


def _tensordot(inputs: list, outputs: list) -> int:
    left, right = (_shape(factor) for factor in inputs[:2])
    summed = [right[side] for side in _integers(inputs[3])]
    return math.prod(left) * math.prod(right) // math.prod(summed)


def _bilinear(inputs: list, outputs: list) -> int:
    """Each row meets each weight of x1^T A x2 once."""
    return math.prod(_shape(inputs[0])[:-1]) * math.prod(_shape(inputs[2]))


def _einsum(inputs: list, outputs: list) -> int:
    """Pairs of factors one after the other, in torch's order; a pair that sums over no index multiplies elements."""
    terms, arrow, result = inputs[0].toIValue().replace(" ", "").partition("->")
    shapes = [_shape(factor) for factor in inputs[1].node().inputs()]
    factors = [_indices(term, len(shape)) for term, shape in zip(terms.split(","), shapes, strict=True)]
    sides: dict[str | int, int] = {}
    for indices, shape in zip(factors, shapes, strict=True):
        for index, side in zip(indices, shape, strict=True):
            sides[index] = max(side, sides.get(index, 1))
    ellipsis = [index for index in sides if isinstance(index, int)]
    if arrow:
        wanted = {*result.replace("...", ""), *ellipsis}
    else:
        wanted = {*ellipsis, *(letter for letter in terms if letter.isalpha() and terms.count(letter) == 1)}
    order, total = _integers(inputs[2]), 0
    pending = [set(indices) for indices in factors]
    while len(pending) > 1:
        pair, order = (sorted(order[:2]) if order else [0, 1]), order[2:]
        right, left = pending.pop(pair[1]), pending.pop(pair[0])
        later = wanted.union(*pending)
        summed = (left & right) - later
        if summed:
            total += math.prod(sides[index] for index in (left | right) & (later | summed))
        pending.insert(len(pending) if order else 0, (left | right) & later)
    return total


def _indices(term: str, axes: int) -> list[str | int]:
    """Index of each axis in a term of einsum; axes under an ellipsis are counted from the right, -1, -2, ..."""
    before, dots, after = term.partition("...")
    hidden = axes - len(before) - len(after) if dots else 0
    return [*before, *range(-hidden, 0), *after]


def _integers(value: Any) -> list[int]:
    """A traced list of integers; empty for None."""
    listed = value.toIValue()
    return listed or [item.toIValue() for item in value.node().inputs()]


PRODUCTS: dict[str, Callable[[list, list], float]] = {
    "scaled_dot_product_attention": _attention,
    "einsum": _einsum,
    **dict.fromkeys(("matmul", "mm", "mv", "bmm", "dot", "vdot"), _product(0)),
    **dict.fromkeys(("addmm", "addmv", "baddbmm"), _product(1)),
    "addbmm": _summed_product,
    **dict.fromkeys(("outer", "ger"), _outer),
    "inner": _inner,
    "tensordot": _tensordot,
    "bilinear": _bilinear,
}
"""Rules of products by their names in torch, for factors of any shapes; fvcore's own miss how they broadcast."""


def _seconds(method: FusionMethod, images: list[Tensor], device: torch.device) -> float:
    started = time.perf_counter()
    method(*images)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started
