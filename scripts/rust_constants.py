"""Constants of Rust, as the fixture scripts of mmcollapse-probes write them."""

import numpy as np


def number(x):
    return repr(float(x))


def floats(values):
    return "&[" + ", ".join(number(v) for v in np.ravel(values)) + "]"


def putter(lines):
    """What adds a constant with its doc comment to these lines."""

    def put(doc, name, kind, value):
        lines.append(f"/// {doc}")
        lines.append(f"pub const {name}: {kind} = {value};")

    return put
