"""Made-up cubes, and ENVI files of them written without the product's help."""

import numpy as np

SHAPE = BANDS, LINES, SAMPLES = 6, 20, 13
NM = [450.0, 500.0, 550.0, 600.0, 650.0, 700.0]
TYPES = ["u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]
ENVI_CODES = {"u1": 1, "i2": 2, "i4": 3, "f4": 4, "f8": 5, "u2": 12, "u4": 13, "i8": 14, "u8": 15}
ENVI_LAYOUT = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}


def cube_of(dtype="u2", shape=SHAPE):
    """A cube (C, H, W) that uses the whole range of its type and in which no two values are alike by accident."""
    generator = np.random.default_rng(7)
    if np.dtype(dtype).kind == "f":
        return generator.standard_normal(shape).astype(dtype)
    about = np.iinfo(dtype)
    return generator.integers(about.min, about.max, shape, dtype=dtype, endpoint=True)


def write_envi(folder, cube, interleave="bsq", order="<", offset=0, name="scene", suffix=".img", **changes):
    """Write a cube (C, H, W) as an ENVI image; `changes` replace header lines, None drops one. Returns the header."""
    fields = {
        "description": "{made, by = a test\n  {of} two lines}",
        "samples": cube.shape[2],
        "lines": cube.shape[1],
        "bands": cube.shape[0],
        "header offset": offset,
        "file type": "ENVI Standard",
        "data type": ENVI_CODES.get(np.dtype(cube.dtype).str[1:]),
        "interleave": interleave,
        "byte order": "<>".index(order),
    } | {key.replace("_", " "): value for key, value in changes.items()}
    data = np.ascontiguousarray(cube.transpose(ENVI_LAYOUT.get(interleave, (0, 1, 2)))).astype(
        cube.dtype.newbyteorder(order)
    )
    folder.mkdir(exist_ok=True)
    (folder / f"{name}{suffix}").write_bytes(b"\xff" * offset + data.tobytes())
    header = folder / f"{name}.hdr"
    lines = [f"{key} = {value}" for key, value in fields.items() if value is not None]
    header.write_text("ENVI\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return header


def braces(values):
    return "{" + ",\n ".join(map(str, values)) + "}"
