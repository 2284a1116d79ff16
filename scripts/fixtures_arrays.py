"""Writes the files that crates/mmcollapse-arrays/tests/formats.rs reads, with numpy, safetensors and pyarrow.

    python scripts/fixtures_arrays.py

All hold the same numbers: `ramp` is row + column / 8, [5, 3]; `labels` is 0 1 0 1 1.
"""

import decimal
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import save_file

to = pathlib.Path(__file__).parent.parent / "crates/mmcollapse-arrays/tests/fixtures"
to.mkdir(parents=True, exist_ok=True)
ramp = np.arange(5)[:, None] + np.arange(3)[None, :] / 8
labels = np.array([0, 1, 0, 1, 1])

kinds = {
    "half": ramp.astype("<f2"),
    "single": ramp.astype("<f4"),
    "double": ramp.astype("<f8"),
    "big": ramp.astype(">f4"),
    "fortran": np.asfortranarray(ramp.astype("<f4")),
    "labels": labels,
    "bytes": labels.astype("u1"),
    "flags": labels.astype(bool),
    "one": np.float32(2.5),
}
np.savez(to / "stored.npz", **kinds)
np.savez_compressed(to / "deflated.npz", **kinds)
np.savez(to / "objects.npz", labels=np.array(["a", None], dtype=object))
(to / "folder").mkdir(exist_ok=True)
np.save(to / "folder/embedding.image.npy", ramp.astype("<f4"))
np.save(to / "folder/labels.npy", labels)
save_file(
    {
        "half": torch.tensor(ramp, dtype=torch.float16),
        "brain": torch.tensor(ramp, dtype=torch.bfloat16),
        "single": torch.tensor(ramp, dtype=torch.float32),
        "double": torch.tensor(ramp, dtype=torch.float64),
        "labels": torch.tensor(labels),
    },
    to / "tensors.safetensors",
)
half = pa.array(list(ramp.astype("f2").ravel()), type=pa.float16())
table = {
    "embedding.image": pa.array(ramp.astype("f4").tolist(), type=pa.list_(pa.float32())),
    "double": pa.array(ramp.tolist(), type=pa.list_(pa.float64(), 3)),
    "half": pa.FixedSizeListArray.from_arrays(half, 3),
    "labels": pa.array(labels, type=pa.int32()),
    "flags": pa.array(labels.astype(bool)),
    "text": pa.array(["a"] * 5),
}
pq.write_table(pa.table(table), to / "lists.parquet", row_group_size=2)
pq.write_table(pa.table(table), to / "zstd.parquet", compression="zstd")
ragged = pa.array([[1.0, 2.0], [3.0]], type=pa.list_(pa.float32()))
missing = pa.array([[1.0, None], [3.0, 4.0]], type=pa.list_(pa.float32()))
pq.write_table(pa.table({"ragged": ragged, "whole": pa.array([1, None])}), to / "ragged.parquet")
pq.write_table(pa.table({"late": pa.array([[1.0, 2.0], [3.0, None]], type=pa.list_(pa.float32()))}), to / "missing.parquet")
# What is not floats and signed integers, and what is not read.
np.savez(
    to / "beside.npz",
    rows=np.arange(6, dtype="f4").reshape(3, 2),
    ids=np.array(["a", "b", "c"]),
    names=np.array(["a", None, 1], dtype=object),
    waves=np.array([1j, 2, 3]),
)
digits = [decimal.Decimal(value) for value in ("0.1", "-2.5", "99.9")]
large = [decimal.Decimal(value) for value in ("0.1", "-2.5", "12345678901234567890.5")]
types = {
    "byte": pa.array([0, 200, 255], pa.uint8()),
    "word": pa.array([0, 2**31, 2**32 - 1], pa.uint32()),
    "long": pa.array([0, 1, 2**63 - 1], pa.uint64()),
    "too_long": pa.array([0, 1, 2**63], pa.uint64()),
    "words": pa.array([[2**31], [1], [2]], pa.list_(pa.uint32())),
    "narrow": pa.array(digits, pa.decimal128(3, 1)),
    "wide": pa.array(large, pa.decimal128(38, 10)),
    "widest": pa.array(digits, pa.decimal256(60, 2)),
    "decimals": pa.array([[value] for value in digits], pa.list_(pa.decimal128(5, 1))),
    "text": pa.array(["a", "b", "a"]),
    "category": pa.array(["a", "b", "a"]).dictionary_encode(),
    "bytes": pa.array([b"ab", b"cd", b"ef"], pa.binary(2)),
    "nested": pa.array([[[1.0]], [[2.0]], [[3.0]]]),
}
pq.write_table(pa.table(types), to / "types.parquet")
whole = {"narrow": pa.array(digits, pa.decimal128(3, 1)), "long": pa.array(digits, pa.decimal128(15, 3))}
pq.write_table(pa.table(whole), to / "whole_decimals.parquet", store_decimal_as_integer=True)
