"""What became of a run: its result, or how the method failed, or why it was not run.

A method that fails does not stop the others: its failure is written down where its result would stand, and becomes a
row of `metrics.csv` with `status=failed` and the message. A failure of the machine (a full disk, too little memory) is
nobody's result: the job fails, and the next run does it again.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import torch

from smifbench import plugins
from smifbench.errors import MachineError, UserError, first_line
from smifbench.system.devices import device_name
from smifbench.system.files import replacing_folder, write_json
from smifbench.system.identity import code_id
from smifbench.system.memory import memory_ran_out

logger = logging.getLogger(__name__)


def conditions(method: str, device: torch.device, attempt: int) -> dict:
    """Return what `facts.json` says of how a run was made: its device, code, torch and the number of the attempt."""
    code = code_id(*plugins.sources("methods", method))
    return {"device": device_name(device), "code": code, "torch": torch.__version__, "attempt": attempt}


def outcome(work: Callable[[], dict], what: str) -> dict:
    """Return what `work` returns with `status` "ok", or `status` "failed" with the method's error as `message`.

    `what` names the work in the log, which also gets the traceback of a failure.
    """
    try:
        return {"status": "ok", "message": "", **work()}
    except (OSError, MachineError):
        raise
    except Exception as error:  # a plug-in may raise anything
        if memory_ran_out(error):
            raise MachineError(
                f"{what} ran out of memory ({first_line(error)}); run it on a machine that has more, or has less to do"
            ) from error
        logger.exception("%s failed", what)
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        return {"status": "failed", "message": f"{kind}{first_line(error)}"}


def write_outcome(target: Path, about: dict, work: Callable[[Path], dict], what: str) -> None:
    """Let `work` fill the folder `target`, and write `facts.json` into it: `about` and the outcome."""
    with replacing_folder(target) as folder:
        found = outcome(lambda: work(folder), what)
        if found["status"] != "ok":
            for file in folder.iterdir():  # what a failure leaves is half a result
                file.unlink()
        write_json(folder / "facts.json", {"status": "", "message": "", **about, **found})


def write_reason(target: Path, status: str, message: str, about: dict) -> None:
    """Write the folder `target` of a run that is "skipped" by its method or "not run" for lack of data."""
    with replacing_folder(target) as folder:
        write_json(folder / "facts.json", {"status": status, "message": message, **about})
