#!/usr/bin/env python3
"""Digests of the decoded sources, and the names of FSDD's recordings, computed outside Rust.

    HF_HOME=... python scripts/data_digests.py            # prints rows and digests for data/mnist.yaml and data/fsdd.yaml
    HF_HOME=... python scripts/data_digests.py svhn       # prints the lines of `content` for data/svhn.yaml
    HF_HOME=... python scripts/data_digests.py --names    # also rewrites data/fsdd-names.csv

Needs numpy, pyarrow, pillow and, for fsdd, soundfile. Reads the files that data/mnist.yaml, data/fsdd.yaml and data/svhn.yaml
name from the Hugging Face cache. A record is identified by the sha256 of its decoded content (28 x 28 pixel bytes row by
row; 32 x 32 pixels of red, green and blue row by row; samples as little-endian 16-bit integers), a collection by the
sha256 of its sorted lines "label sha256\n": neither the files' bytes nor the order of their rows enters.

FSDD's names (digit_speaker_index) are taken from the column `path`, of which the cache that made this manifest kept
the original file names; from then on names are looked up by the digest of the samples. With the original order of
MNIST's rows the md5 of pixels must equal that of the uncompressed idx files, which is checked too.
"""

import argparse
import hashlib
import io
import os
import pathlib
import re
import struct

import numpy as np
import pyarrow.parquet
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent
# md5 of train-images-idx3-ubyte and t10k-images-idx3-ubyte.
IDX_MD5 = {"train": "6bbc9ace898e44ae57da46a324031adb", "test": "2646ac647ad5339dbf082846283269ea"}


def rows(source, column):
    """Yields (part, bytes, path, label) of every row of a source."""
    manifest = (ROOT / f"data/{source}.yaml").read_text()
    name = re.search(r"^  repo: (\S+)$", manifest, re.M)[1]
    revision = re.search(r"^  revision: (\S+)$", manifest, re.M)[1]
    files = re.findall(r"^  - { path: (\S+), part: (\S+) }$", manifest, re.M)
    home = pathlib.Path(os.environ.get("HF_HOME", pathlib.Path.home() / ".cache/huggingface"))
    snapshot = home / "hub" / ("datasets--" + name.replace("/", "--")) / "snapshots" / revision
    for path, part in files:
        for row in pyarrow.parquet.read_table(snapshot / path).to_pylist():
            yield part, row[column]["bytes"], row[column]["path"], row["label"]


def digest(records):
    lines = sorted(records)
    return hashlib.sha256("".join(f"{label} {sha}\n" for label, sha in lines).encode()).hexdigest()


def mnist(_):
    records, raw = {}, {}
    for part, png, _, label in rows("mnist", "image"):
        image = Image.open(io.BytesIO(png))
        assert image.mode == "L" and image.size == (28, 28), (image.mode, image.size)
        pixels = np.asarray(image).tobytes()
        records.setdefault(part, []).append((label, hashlib.sha256(pixels).hexdigest()))
        raw.setdefault(part, []).append(pixels)
    for part, found in records.items():
        idx = struct.pack(">4I", 2051, len(found), 28, 28) + b"".join(raw[part])
        same = "yes" if hashlib.md5(idx).hexdigest() == IDX_MD5[part] else "no"
        counts = np.bincount([label for label, _ in found]).tolist()
        print(f"mnist {part}: {len(found)} rows, {len(set(found))} different, digest {digest(found)}")
        print(f"  rows in the idx file's order, pixels equal to it: {same}; per class {counts}")


def svhn(_):
    records = {}
    for part, png, _, label in rows("svhn", "image"):
        image = Image.open(io.BytesIO(png))
        assert image.mode == "RGB" and image.size == (32, 32), (image.mode, image.size)
        records.setdefault(part, []).append((label, hashlib.sha256(np.asarray(image).tobytes()).hexdigest()))
    for part, found in records.items():
        counts = np.bincount([label for label, _ in found]).tolist()
        print(f"  {part}: {{ rows: {len(found)}, digest: {digest(found)} }}")
        print(f"  # {len(set(found))} different; per class {counts}")


def fsdd(write_names):
    import soundfile

    names, records, lengths = {}, {}, []
    for part, wav, path, label in rows("fsdd", "audio"):
        samples, rate = soundfile.read(io.BytesIO(wav), dtype="int16")
        assert rate == 8000 and samples.ndim == 1, (rate, samples.shape)
        sha = hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest()
        name = pathlib.Path(path).stem
        assert re.fullmatch(r"\d_[a-z]+_\d+", name) and int(name[0]) == label, (name, label)
        assert sha not in names, f"{name} has the samples of {names[sha]}"
        names[sha] = name
        records.setdefault(part, []).append((label, sha))
        lengths.append(len(samples))
    for part, found in records.items():
        print(f"fsdd {part}: {len(found)} rows, digest {digest(found)}")
    print(f"  {min(lengths)} to {max(lengths)} samples; speakers {sorted({n.split('_')[1] for n in names.values()})}")
    if write_names:
        lines = sorted(f"{sha},{name}\n" for sha, name in names.items())
        (ROOT / "data/fsdd-names.csv").write_text("sha256,name\n" + "".join(lines))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sources = {"mnist": mnist, "fsdd": fsdd, "svhn": svhn}
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help=f"of {', '.join(sources)}; by default mnist and fsdd")
    parser.add_argument("--names", action="store_true", help="rewrite data/fsdd-names.csv")
    arguments = parser.parse_args()
    for name in arguments.sources or ["mnist", "fsdd"]:
        sources[name](arguments.names)
