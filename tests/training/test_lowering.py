"""What torch makes of a network for an H100 (sm_90), as far as that needs no GPU: its build for CUDA, with Triton.

`pip install` that build into an environment of its own and run this file there; everywhere else it is skipped. Graphs
of the loss and its gradient are recorded on the CPU, then their devices are changed and Inductor and Triton compile
them. The rest of torch believes in the GPU by the few answers below, which are the driver's.
"""

import copy
from contextlib import ExitStack
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from torch.utils import _pytree as pytree

from smifbench import FusionProblem, build_method

triton = pytest.importorskip("triton", reason="needs Triton, which torch's build for CUDA brings")
if torch.cuda.is_available():
    pytest.skip("there is a GPU: test_on_a_gpu.py compiles and runs", allow_module_level=True)
if torch.version.cuda is None:
    pytest.skip("needs torch's build for CUDA", allow_module_level=True)

from torch._dynamo.device_interface import CudaInterface  # noqa: E402
from torch._inductor import config  # noqa: E402
from torch._inductor.async_compile import AsyncCompile, _load_triton_kernel_from_source  # noqa: E402
from torch._inductor.compile_fx import compile_fx, compile_fx_inner  # noqa: E402
from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.runtime.driver import driver  # noqa: E402

pytestmark = pytest.mark.slow
SM = 90
H100 = SimpleNamespace(
    name="NVIDIA H100",
    type="cuda",
    major=SM // 10,
    minor=SM % 10,
    multi_processor_count=132,
    regs_per_multiprocessor=65536,
    max_threads_per_multi_processor=2048,
    max_threads_per_block=1024,
    shared_memory_per_block=49152,
    shared_memory_per_block_optin=232448,
    warp_size=32,
    total_memory=80 << 30,
    L2_cache_size=50 << 20,
)


@pytest.fixture
def kernels():
    """Collects Triton's kernels, compiled for an H100, while a GPU seems to be there."""
    found = []

    def compiled(self, name, source, device_str="cuda"):
        kernel = _load_triton_kernel_from_source(name, source)
        kernel.precompile(warm_cache_only=True)  # without loading it into the GPU
        found.extend(result.kernel for result in kernel.compile_results)
        return kernel

    before = driver._active
    driver.set_active(
        SimpleNamespace(
            get_current_target=lambda: GPUTarget("cuda", SM, 32),
            get_current_device=lambda: 0,
            get_active_torch_device=lambda: torch.device("cuda"),
            get_device_interface=lambda: torch.cuda,
        )
    )
    answers = {
        "get_device_properties": H100,
        "get_compute_capability": SM,
        "is_bf16_supported": True,
        "is_triton_capable": True,
    }
    with ExitStack() as patched:
        for name, answer in answers.items():
            patched.enter_context(mock.patch.object(CudaInterface, name, staticmethod(mock.Mock(return_value=answer))))
        for name, answer in {
            "torch._dynamo.device_interface.CudaInterface.Worker.get_device_properties": H100,
            "torch.cuda.get_device_properties": H100,
            "torch.cuda.get_device_capability": (SM // 10, SM % 10),
            "torch.cuda.current_device": 0,
            "torch.cuda.synchronize": None,
            "torch.cuda._lazy_init": None,
            "torch._inductor.scheduler.has_triton": True,
            "torch._inductor.runtime.triton_helpers.set_driver_to_gpu": None,
        }.items():
            patched.enter_context(mock.patch(name, mock.Mock(return_value=answer)))
        patched.enter_context(mock.patch.object(AsyncCompile, "triton", compiled))
        patched.enter_context(
            config.patch(use_static_cuda_launcher=False, force_disable_caches=True, compile_threads=1)
        )
        yield found
    driver._active = before


def moved(value):
    if isinstance(value, torch.Tensor):
        return value.to("cuda")
    return torch.device("cuda") if isinstance(value, torch.device) else value


def compile_for_cuda(graph, inputs, **options):
    """Let Inductor compile a graph as if its tensors were on a GPU; what runs is the graph as it is, on the CPU."""
    there = copy.deepcopy(graph)
    for node in there.graph.nodes:
        node.kwargs = {name: moved(value) for name, value in node.kwargs.items()}
        if "val" in node.meta:
            node.meta["val"] = pytree.tree_map(moved, node.meta["val"])
    there.recompile()
    compile_fx_inner(there, [moved(each) for each in inputs], **options)

    def run(arguments):
        given = list(arguments)
        arguments.clear()
        return torch.fx.Interpreter(graph).run(*given)

    run._boxed_call = True
    return run


@pytest.mark.parametrize("method", ["ssr_net", "lla_net"])
def test_loss_and_gradient_compile_for_an_h100(method, kernels):
    network = build_method(method, FusionProblem(31, 3, 4)).train()
    images = (torch.rand(2, bands, side, side) for bands, side in ((31, 8), (3, 32), (31, 32)))
    images = [image.contiguous(memory_format=torch.channels_last) for image in images]
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return compile_fx(graph, inputs, inner_compile=compile_for_cuda)

    loss = torch.compile(network.training_loss, dynamic=False, fullgraph=True, backend=backend)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(*images)
    value.backward()
    assert len(graphs) == 1
    assert len(kernels) > 10
    assert {kernel.metadata.target.arch for kernel in kernels} == {SM}
    assert all("cubin" in kernel.asm for kernel in kernels)
