#!/usr/bin/env python3
"""Makes data/embedded/*.parquet: the excerpt of MNIST and FSDD that is built into the program.

    HF_HOME=... python scripts/embed_excerpt.py            # writes both files, prints the digests for the manifest
    HF_HOME=... python scripts/embed_excerpt.py --check    # makes them in memory and compares with the committed ones

Needs pyarrow 26.0.1 (another version may write other bytes of equal content), numpy, pillow, soundfile. Reads the files
that data/mnist.yaml and data/fsdd.yaml name from the Hugging Face cache.

What is taken depends on content alone, never on the order or the paths of the cache's rows. Recordings: all of the speakers
that data/avmnist.yaml names, told by the digest of their samples (data/fsdd-names.csv), every third sample of each, sorted by
digit, speaker, index. Images: of each class those with the smallest sha256 of their pixels, which is a draw that anyone can
repeat: 400 of the training part and 100 of the test part, sorted by part (training first), class, digest.

Columns are those of the hub's files: `audio: {bytes, path}` (16-bit little-endian samples; digit_speaker_index) or
`image: {bytes, path}` (28 x 28 grey levels row by row; part), and `label`.
"""

import argparse
import hashlib
import io
import re

import numpy as np
import pyarrow
import pyarrow.parquet
import soundfile
from data_digests import ROOT, digest, rows
from PIL import Image

FOLDER = ROOT / "data/embedded"
IMAGES_PER_CLASS = {"train": 400, "test": 100}
EVERY = 3


def clips():
    """(digit_speaker_index, label, every third sample) of each recording of avMNIST's speakers."""
    recipe = (ROOT / "data/avmnist.yaml").read_text()
    speakers = re.search(r"^speakers: \[(.*)\]$", recipe, re.M)[1].split(", ")
    assert f"\nevery: {EVERY}\n" in recipe
    lines = (ROOT / "data/fsdd-names.csv").read_text().splitlines()[1:]
    names = dict(line.split(",") for line in lines)
    found = []
    for _, wav, _, label in rows("fsdd", "audio"):
        samples, rate = soundfile.read(io.BytesIO(wav), dtype="int16")
        assert rate == 8000 and samples.ndim == 1, (rate, samples.shape)
        samples = samples.astype("<i2")
        name = names[hashlib.sha256(samples.tobytes()).hexdigest()]
        digit, speaker, index = name.split("_")
        assert int(digit) == label, (name, label)
        if speaker in speakers:
            found.append(((label, speakers.index(speaker), int(index)), name, samples[::EVERY].tobytes()))
    found.sort()
    assert len(found) == 10 * 50 * len(speakers), len(found)
    return [(name, place[0], content) for place, name, content in found]


def images():
    """(part, label, pixels) of each chosen image."""
    classes = {}
    for part, png, _, label in rows("mnist", "image"):
        image = Image.open(io.BytesIO(png))
        assert image.mode == "L" and image.size == (28, 28), (image.mode, image.size)
        pixels = np.asarray(image).tobytes()
        classes.setdefault((part, label), []).append((hashlib.sha256(pixels).hexdigest(), pixels))
    return [
        (part, label, pixels)
        for part, n in IMAGES_PER_CLASS.items()
        for label in range(10)
        for _, pixels in sorted(classes[part, label])[:n]
    ]


def parquet(column, records):
    """The bytes of a file with these (path, label, content)."""
    media = pyarrow.struct([pyarrow.field("bytes", pyarrow.binary(), False), pyarrow.field("path", pyarrow.string(), False)])
    schema = pyarrow.schema([pyarrow.field(column, media, False), pyarrow.field("label", pyarrow.int64(), False)])
    content = [{"bytes": content, "path": path} for path, _, content in records]
    table = pyarrow.table([pyarrow.array(content, media), [label for _, label, _ in records]], schema)
    file = io.BytesIO()
    pyarrow.parquet.write_table(
        table,
        file,
        compression="zstd",
        compression_level=19,
        use_dictionary=["label", f"{column}.path"],
        write_statistics=False,
        data_page_size=1 << 20,
        store_schema=False,
    )
    return file.getvalue()


def described(part, records):
    identities = [(label, hashlib.sha256(content).hexdigest()) for _, label, content in records]
    assert len(set(identities)) == len(records), part
    return f"  {part}: {{ rows: {len(records)}, digest: {digest(identities)} }}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the committed files instead of writing")
    arguments = parser.parse_args()
    sounds, digits = clips(), images()
    made = {"fsdd.parquet": parquet("audio", sounds), "mnist.parquet": parquet("image", digits)}
    print("files:")
    for name, content in made.items():
        print(f"  {name}: {hashlib.sha256(content).hexdigest()}  # {len(content)} bytes")
        if arguments.check:
            assert (FOLDER / name).read_bytes() == content, f"{name} is another file (pyarrow {pyarrow.__version__})"
        else:
            FOLDER.mkdir(exist_ok=True)
            (FOLDER / name).write_bytes(content)
    print("content:")
    for part in IMAGES_PER_CLASS:
        print(described(part, [record for record in digits if record[0] == part]))
    print(described("clips", sounds))
