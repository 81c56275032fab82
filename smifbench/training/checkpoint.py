"""Saved states of a half-trained network; a kill at any moment leaves a good one on disk."""

import io
import logging
import zipfile
from pathlib import Path

import torch

from smifbench.errors import first_line
from smifbench.system.files import replacing

logger = logging.getLogger(__name__)


class Checkpoint:
    """The last two states in a folder, `last.pt` and `previous.pt`.

    Parameters
    ----------
    folder
        Folder of the states, made with the first one.
    fingerprint
        Hash of all that decides the training. A state with another fingerprint is not loaded.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder, self.fingerprint = folder, fingerprint
        self.last, self.previous = folder / "last.pt", folder / "previous.pt"
        self._last_is_good = False

    def save(self, state: dict) -> None:
        """Write `state`, of tensors and plain values, as the last one."""
        content = io.BytesIO()  # because torch's own error for a full disk would be taken for one of the method's
        torch.save({"fingerprint": self.fingerprint, "state": state}, content)
        with replacing(self.last) as temporary:
            temporary.write_bytes(content.getbuffer())
            if self._last_is_good:
                self.last.replace(self.previous)
        self._last_is_good = True

    def load(self, device: torch.device) -> dict | None:
        """Return the newest good state, or None; warns of files that are not used, with the reason."""
        for path in (self.last, self.previous):
            if path.exists():
                try:
                    state = self._read(path, device)
                except Exception as error:  # a broken file may raise anything
                    logger.warning("%s is not used, because it is damaged (%s)", path, first_line(error))
                    continue
                if state is None:
                    logger.warning("%s is not used, because code, settings or data were others when it was made", path)
                    continue
                self._last_is_good = path == self.last
                return state
        return None

    def _read(self, path: Path, device: torch.device) -> dict | None:
        """Return the state in a file, or None if it is another training's; raises anything for a damaged file."""
        with zipfile.ZipFile(path) as archive:  # torch reads past wrong checksums
            if damaged := archive.testzip():
                raise ValueError(f"wrong checksum of {damaged}")
        content = torch.load(path, map_location=device, weights_only=True)
        return content["state"] if content["fingerprint"] == self.fingerprint else None
