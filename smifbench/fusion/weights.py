"""Weights on disk: safetensors files, which hold tensors and nothing else."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from smifbench.errors import UserError
from smifbench.fusion.scaled import ScaledNetwork
from smifbench.system.files import read_json, replacing, whole
from smifbench.system.identity import file_hash


def save_weights(network: ScaledNetwork, path: Path) -> None:
    """Write the weights of `network` in a format that holds tensors and nothing else."""
    # Copies, because the format refuses tensors that share memory, as tied weights do.
    weights = {name: weight.clone().contiguous() for name, weight in network.state_dict().items()}
    with replacing(path) as temporary:
        # As bytes, because on a full disk the library's own error would look like one of the method's.
        temporary.write_bytes(save(weights))


def load_weights(network: ScaledNetwork, path: Path) -> None:
    """Load a safetensors file into `network`; raises UserError with the first tensor that does not fit."""
    if not path.is_file():
        raise UserError(f"there is no file {path}; name a run's weights.safetensors")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is no safetensors file ({error}); nothing else is loaded, convert it") from error
    wanted = network.state_dict()
    for name in sorted(wanted.keys() | tensors.keys()):
        there, here = (tuple(held[name].shape) if name in held else "missing" for held in (tensors, wanted))
        if there != here:
            raise UserError(
                f"{path} does not fit the network: {name} is {there} in the file and {here} in the network; give "
                "weights of the same method, options, bands and ratio"
            )
    network.load_state_dict(tensors)


def load_trained(network: ScaledNetwork, trained: Path) -> None:
    """Load what was trained in the folder `trained`; raises DamagedFile where it is not what was written there."""
    path = trained / "weights.safetensors"
    with whole(path, trained):
        if file_hash(path) != read_json(trained / "facts.json", trained)["weights"]:
            raise ValueError("its hash is not the one that was written down")
    load_weights(network, path)
