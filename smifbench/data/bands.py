"""Which wavelengths each hyperspectral band stands for, so that a curve can be integrated over bands of any grid."""

import numpy as np

LOOSE = 1 + 1e-9
"""Slack of comparisons between distances, for rounding."""


def shares_of_bands(centres: np.ndarray, widths: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Cut the wavelengths at all edges of bands, and say what part of every piece each band stands for.

    Where widths are stated, a band reaches half of its own to both sides. What no band reaches so, or everything where
    no widths are stated, belongs to the nearest centre, up to half the way to the next (`cells`). Bands that reach the
    same piece have equal parts of it, so that no wavelength counts twice however bands overlap. A piece of a gap, where
    bands are left out, is nobody's.

    Parameters
    ----------
    centres
        Centres (C,) of the bands in nanometres, in any order.
    widths
        Full widths (C,), or None where they are not known; then there are at least two bands.

    Returns
    -------
    tuple
        Edges (n + 1,) of the n pieces, increasing, and parts (C, n) in [0,1]. The parts of a piece sum to 1, in gaps to
        0.
    """
    reaches = [cells(centres)] if len(centres) > 1 else []
    if widths is not None:
        reaches.insert(0, np.stack([centres - widths / 2, centres + widths / 2]))
    edges = np.unique(reaches)
    middles = (edges[1:] + edges[:-1]) / 2
    parts = np.zeros((len(centres), len(middles)))
    for low, high in reaches:
        inside = (low[:, None] < middles) & (middles < high[:, None])
        parts = np.where(parts.any(axis=0), parts, inside)
    return edges, parts / np.maximum(parts.sum(axis=0), 1)


def cells(centres: np.ndarray) -> np.ndarray:
    """Lowest and highest wavelength (2, C) around each of two or more centres (C,): half the way to its neighbours.

    At the ends of the grid and beside a gap a cell is as long as on its other side. A gap is a distance longer than the
    two before it together and the two after it: a grid may change its distances and lack single bands.
    """
    order = np.argsort(centres, kind="stable")
    steps = np.diff(centres[order])
    halves = np.where(steps <= LOOSE * _longest_steps(steps), steps / 2, np.nan)
    below, above = np.append(np.nan, halves), np.append(halves, np.nan)
    alone = np.nanmedian(halves)
    low, high = (np.nan_to_num(np.where(np.isnan(a), b, a), nan=alone) for a, b in ((below, above), (above, below)))
    reach = np.empty((2, len(centres)))
    reach[:, order] = centres[order] - low, centres[order] + high
    return reach


def _longest_steps(steps: np.ndarray) -> np.ndarray:
    """How long each of the steps (C - 1,) between sorted centres may be without being a gap."""
    if len(steps) == 1:
        return np.array([np.inf])
    twice = np.concatenate([2 * steps[:1], steps[1:] + steps[:-1], 2 * steps[-1:]])  # two steps up to and from a centre
    before, after = np.append(0, twice[:-2]), np.append(twice[2:], 0)
    return np.maximum(before, after)
