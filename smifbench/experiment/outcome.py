"""What became of a run: its result, or why there is none, written down where the next stage looks."""

import logging
from collections.abc import Callable
from pathlib import Path

import torch

from smifbench import plugins
from smifbench.errors import MachineError, UserError
from smifbench.problem import FusionProblem
from smifbench.run import Run
from smifbench.system.devices import device_name
from smifbench.system.files import replacing_folder, write_json
from smifbench.system.identity import code_id

logger = logging.getLogger(__name__)


def not_run(reason: str, target: Path) -> None:
    """Write down that the data could not be had, which is nobody's failure."""
    with replacing_folder(target) as folder:
        write_json(folder / "facts.json", {"status": "not run", "message": reason, "code": code_id()})


def attempt(run: Run, problem: FusionProblem, device: torch.device, target: Path, work: Callable[[Path], dict]) -> None:
    """Let `work` fill the folder `target` and add `facts.json`: what it returned, or how the method failed."""
    facts = {
        "status": "ok",
        "message": "",
        "device": device_name(device),
        "code": code_id(*plugins.sources("methods", run.method)),
        "torch": torch.__version__,
    }
    with replacing_folder(target) as folder:
        reason = plugins.method_class(run.method).skip(problem)
        if reason:
            facts |= {"status": "skipped", "message": reason}
        else:
            try:
                facts |= work(folder)
            except (OSError, MemoryError, torch.OutOfMemoryError, MachineError):
                raise  # the machine failed, not the method: the job fails, and the next run goes on from the state
            except Exception as error:  # a plug-in may raise anything; its failure is a result, told in its row
                logger.exception("%s failed", run.folder)
                kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
                facts |= {"status": "failed", "message": f"{kind}{error}".splitlines()[0]}
        write_json(folder / "facts.json", facts)
