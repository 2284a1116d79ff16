"""Constants of Rust, as the fixture scripts of mmcollapse-probes write them."""

from pathlib import Path

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


def header(script, libraries):
    """The first lines of a file of constants, of whose values libraries are the source."""
    return [
        f"//! Written by scripts/{script}: expected values by {libraries}.",
        "#![allow(clippy::approx_constant, clippy::excessive_precision, clippy::unreadable_literal)]",
        "",
    ]


def write(lines, folder):
    """Writes the constants below the tests of mmcollapse-probes."""
    target = Path(__file__).parent.parent / "crates/mmcollapse-probes/tests" / folder / "mod.rs"
    target.parent.mkdir(exist_ok=True)
    target.write_text("\n".join(lines) + "\n")
