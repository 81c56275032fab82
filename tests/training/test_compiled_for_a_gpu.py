"""What an H100 would be given, made without one: inductor lowers, and Triton compiles, what a GPU trains by.

Needs torch's CUDA build, but no GPU. Graphs are traced on a CPU, since torch has no backward for a GPU's tensors where
no GPU is, and are then lowered for the GPU; their values still come from the CPU.
"""

import copy
import sys
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from smifbench import FusionProblem, build_method, plugins

triton = pytest.importorskip("triton", reason="Triton comes with torch's CUDA build")
pytestmark = [
    pytest.mark.slow,
    # Where a GPU is, its driver answers instead of the one made up below, and the real compilation is tested.
    pytest.mark.skipif(torch.cuda.is_available(), reason="test_on_a_gpu.py compiles for the GPU that is here"),
]
H100 = {
    **{"name": "H100", "major": 9, "minor": 0, "multi_processor_count": 132, "warp_size": 32},
    **{"regs_per_multiprocessor": 65536, "max_threads_per_multi_processor": 2048, "max_threads_per_block": 1024},
}


@pytest.fixture
def kernels(monkeypatch):
    """Let torch and Triton see an H100; kernels that are compiled for it gather in the list."""
    from torch._dynamo import device_interface
    from torch._inductor import config
    from torch._inductor.runtime import triton_helpers, triton_heuristics
    from triton.backends.compiler import GPUTarget

    def properties(device=None):
        return SimpleNamespace(**H100)

    class Device(device_interface.CudaInterface):
        is_available = staticmethod(lambda: True)
        is_bf16_supported = staticmethod(lambda including_emulation=False: True)
        get_compute_capability = staticmethod(lambda device=None: 90)
        get_device_properties = staticmethod(properties)

        class Worker(device_interface.CudaInterface.Worker):
            current_device = staticmethod(lambda: 0)
            get_device_properties = staticmethod(properties)

    def only_compile(autotuner, **settings):
        compile_and_load(autotuner, warm_cache_only=True)

    def keep(*arguments, **settings):
        compiled.append(compile_kernel(*arguments, **settings))
        return compiled[-1]

    compiled, compile_kernel = [], triton.compile
    compile_and_load = triton_heuristics.CachingAutotuner.precompile
    device_interface.get_interface_for_device("cuda")  # fills the dictionary
    monkeypatch.setitem(device_interface.device_interfaces, "cuda", Device)
    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
    driver = SimpleNamespace(get_current_target=lambda: GPUTarget("cuda", 90, 32))
    monkeypatch.setattr(triton.runtime.driver, "_active", driver)
    monkeypatch.setattr(triton_helpers, "set_driver_to_gpu", lambda: None)
    monkeypatch.setattr(triton_heuristics.CachingAutotuner, "precompile", only_compile)
    monkeypatch.setattr(triton, "compile", keep)
    with config.patch(compile_threads=1, force_disable_caches=True):
        yield compiled
    torch._dynamo.reset()


def lowered_for_a_gpu(function, graphs):
    """Compile for a GPU what `function` computes, forward and backward, and compute it on the CPU nevertheless."""
    from torch._guards import detect_fake_mode
    from torch._inductor.compile_fx import compile_fx, compile_fx_inner

    def lower(graph, inputs, **settings):
        moved = copy.deepcopy(graph)
        for node in moved.graph.nodes:
            if "device" in node.kwargs:
                node.update_kwarg("device", torch.device("cuda", 0))
        with detect_fake_mode(inputs):
            there = [image.to("cuda") if isinstance(image, torch.Tensor) else image for image in inputs]
        compile_fx_inner(moved, there, **settings)
        graphs.append(graph)

        def run(arguments):
            given = list(arguments)
            arguments.clear()
            return torch.fx.Interpreter(graph).run(*given)

        run._boxed_call = True
        return run

    return torch.compile(function, backend=lambda graph, inputs: compile_fx(graph, inputs, lower), dynamic=False)


def loss_of_ssr_net():
    network = build_method("ssr_net", FusionProblem(31, 3, 4)).to(memory_format=torch.channels_last)
    images = [torch.rand(8, bands, side, side) for bands, side in ((31, 8), (3, 32), (31, 32))]
    return network.training_loss, [image.contiguous(memory_format=torch.channels_last) for image in images]


def windows_of_psrt():
    return module("psrt")._attend_by_sums, [torch.rand(64, 4, 16, requires_grad=True) for _ in range(3)]


def doubling_of_dhif_net():
    features = torch.rand(2, 16, 8, 8).contiguous(memory_format=torch.channels_last)
    return module("dhif_net")._double_by_products, [features.requires_grad_()]


def head_of_dhif_net():
    head = module("dhif_net")._convolutions(16, 21, 21).append(nn.Conv2d(21, 21, 1))
    return partial(module("dhif_net")._filled_up, head), [torch.rand(2, 16, 8, 8)]


def module(method):
    return sys.modules[plugins.method_class(method).__module__]


@pytest.mark.parametrize("work", [loss_of_ssr_net, windows_of_psrt, doubling_of_dhif_net, head_of_dhif_net])
def test_forward_and_backward_compile_for_an_h100(work, kernels):
    torch.manual_seed(0)
    function, images = work()
    graphs = []
    with torch.autocast("cpu", torch.bfloat16):
        found = lowered_for_a_gpu(function, graphs)(*images).float().mean()
        expected = function(*images).float().mean()
    found.backward()
    torch.testing.assert_close(found, expected)
    assert len(graphs) == 2
    assert kernels
    assert all(kernel.metadata.target.arch == 90 and kernel.asm["cubin"] for kernel in kernels)
