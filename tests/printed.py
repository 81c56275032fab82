"""Tables as a page of the documentation prints them."""

import itertools


def table_after(page, start):
    """Cells, row by row and without the header, of the first table at or after a line that begins with `start`."""
    lines = itertools.dropwhile(lambda line: not line.startswith(start), page.splitlines())
    rows = itertools.takewhile(
        lambda line: line.startswith("|"), itertools.dropwhile(lambda line: not line.startswith("|"), lines)
    )
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in list(rows)[2:]]
