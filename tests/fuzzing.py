"""How the tests under tests/fuzz draw: many examples where SMIFBENCH_FUZZ=long, few and always the same ones else."""

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from smifbench.errors import UserError

COMMON = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None, "print_blob": True}
PROFILES = {
    "short": settings(max_examples=100, derandomize=True, **COMMON),
    "long": settings(max_examples=1000, **COMMON),
}
fuzzed = PROFILES[os.environ.get("SMIFBENCH_FUZZ", "short")]

HOSTILE_NUMBERS = st.sampled_from(
    ["0", "-1", "1e3", "nan", "inf", "-inf", "1e999", "0x10", "1_000", "10" * 9, "9" * 5000, "\u0664", "", " ", "NULL"]
)


@st.composite
def damaged(draw, content: bytes, start: int = 0):
    """Bytes of a file changed, cut off or added in one to three places."""
    content = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(min(start, len(content)), len(content)))
        change = draw(st.sampled_from(["set", "flip", "cut", "insert", "repeat"]))
        if change == "cut":
            del content[place:]
        elif change == "insert":
            content[place:place] = draw(st.binary(min_size=1, max_size=6))
        elif change == "repeat":
            content[place:place] = content[max(0, place - 40) : place]
        elif place < len(content):
            flipped = content[place] ^ (1 << draw(st.integers(0, 7)))
            content[place] = flipped if change == "flip" else draw(st.integers(0, 255))
    return bytes(content)


def sentence_or(function, *arguments):
    """What a function returns, or None where it refused its arguments in one sentence."""
    try:
        return function(*arguments)
    except UserError as error:
        sentence = str(error)
    assert 10 < len(sentence) < 1500, sentence
    return None
