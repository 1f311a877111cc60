"""TensorFlow checkpoints read without TensorFlow.

A checkpoint (version 2) is an index, a sorted table of strings as LevelDB writes it, and files of bare numbers. Both
formats are public: ``tensorflow/core/lib/io/format.cc`` and ``tensorflow/core/protobuf/tensor_bundle.proto``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim.compiled import compiled
from sim.errors import InputError

FloatImage = NDArray[np.float32]

_MAGIC = 0xDB4775248B80FB57  # the last eight bytes of every index
_FOOTER = 48  # bytes: two block handles, padding, the magic
_TRAILER = 5  # bytes after a block: its compression and its checksum
_FLOAT = 1  # TensorFlow's number of float32
_CASTAGNOLI = 0x82F63B78  # polynomial of CRC-32C, reflected
_MASK = 0xA282EAD8


@dataclass
class _Entry:
    """One tensor of the index, a ``BundleEntryProto``.

    Attributes:
        dtype: TensorFlow's number of the type.
        shape: Size of each axis.
        shard: Number of the data file.
        offset: Place in that file, bytes.
        size: Length in that file, bytes.
        crc: Masked CRC-32C of the bytes.
    """

    dtype: int = 0
    shape: list[int] = field(default_factory=list)
    shard: int = 0
    offset: int = 0
    size: int = 0
    crc: int = 0


def read_checkpoint(prefix: Path) -> dict[str, FloatImage]:
    """Returns the float32 tensors of a checkpoint by their names; others are left out.

    Args:
        prefix: Path without ``.index`` and ``.data-00000-of-00001``.

    Raises:
        InputError: A file is missing, broken, compressed, or a tensor's checksum is not the stored one.
    """
    index = prefix.with_name(f"{prefix.name}.index")
    try:
        entries = dict(_read_index(index.read_bytes()))
    except (OSError, ValueError, IndexError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{index} is no index of a TensorFlow checkpoint ({reason}); download it anew") from error
    tensors = {}
    shards: dict[int, bytes] = {}
    count = max((entry.shard for entry in entries.values()), default=0) + 1
    for name, entry in entries.items():
        if entry.dtype != _FLOAT:
            continue
        if entry.shard not in shards:
            shards[entry.shard] = _read_shard(prefix, entry.shard, count)
        tensors[name] = _read_tensor(shards[entry.shard], entry, f"{name} of {prefix}")
    return tensors


def _read_shard(prefix: Path, number: int, least: int) -> bytes:
    """Returns the bytes of a data file, of whose kind there are at least ``least``; raises InputError."""
    found = sorted(prefix.parent.glob(f"{prefix.name}.data-{number:05d}-of-*"))
    if not found:
        raise InputError(
            f"{prefix}.data-{number:05d}-of-{least:05d} is missing; put the checkpoint's data beside its index"
        )
    try:
        return found[0].read_bytes()
    except OSError as error:
        raise InputError(f"{found[0]} cannot be read ({error.strerror}); make it readable") from error


def _read_tensor(data: bytes, entry: _Entry, name: str) -> FloatImage:
    """Returns one tensor of a data file; raises InputError where its bytes are not those that were written."""
    content = data[entry.offset : entry.offset + entry.size]
    count = int(np.prod(entry.shape, dtype=np.int64))
    if len(content) != entry.size or entry.size != 4 * count or masked_crc32c(content) != entry.crc:
        raise InputError(f"tensor {name} is damaged: its checksum is not the stored one; download the checkpoint anew")
    return np.frombuffer(content, "<f4").reshape(entry.shape).astype(np.float32)


def _read_index(content: bytes) -> Iterator[tuple[str, _Entry]]:
    """Yields the tensors' names and entries; raises ValueError or IndexError for what is no index."""
    if len(content) < _FOOTER or int.from_bytes(content[-8:], "little") != _MAGIC:
        raise ValueError("its last bytes are not those of a table")
    footer = content[-_FOOTER:]
    _, at = _handle(footer, 0)
    table, _ = _handle(footer, at)
    for _, handle in _block(content, *table):
        place, _ = _handle(handle, 0)
        for key, value in _block(content, *place):
            if key:  # the empty key is the header's
                yield key.decode("utf-8"), _entry(value)


def _handle(content: bytes, at: int) -> tuple[tuple[int, int], int]:
    """Returns a block's (offset, size) and where the next value starts."""
    offset, at = _varint(content, at)
    size, at = _varint(content, at)
    return (offset, size), at


def _block(content: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yields the keys and values of one block."""
    if offset + size + _TRAILER > len(content):
        raise ValueError("it is cut off")
    if content[offset + size] != 0:
        raise ValueError("it is compressed")
    stored = int.from_bytes(content[offset + size + 1 : offset + size + _TRAILER], "little")
    if masked_crc32c(content[offset : offset + size + 1]) != stored:
        raise ValueError("a checksum is not the stored one")
    block = content[offset : offset + size]
    end, at, key = size - 4 - 4 * int.from_bytes(block[-4:], "little"), 0, b""
    while at < end:
        shared, at = _varint(block, at)
        new, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + new]
        at += new
        yield key, block[at : at + length]
        at += length


def _entry(content: bytes) -> _Entry:
    """Returns an entry of its protocol buffer."""
    entry = _Entry()
    for number, value in _fields(content):
        if number == 2 and isinstance(value, bytes):
            sizes = (dict(_fields(axis)) for which, axis in _fields(value) if which == 2 and isinstance(axis, bytes))
            entry.shape = [int(size.get(1, 0)) for size in sizes]
        elif isinstance(value, int) and number in _ENTRY_FIELDS:
            setattr(entry, _ENTRY_FIELDS[number], value)
    return entry


_ENTRY_FIELDS = {1: "dtype", 3: "shard", 4: "offset", 5: "size", 6: "crc"}


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yields the numbers and values of a protocol buffer's fields."""
    at = 0
    while at < len(content):
        tag, at = _varint(content, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(content, at)
            yield tag >> 3, value
        elif kind == 2:
            length, at = _varint(content, at)
            yield tag >> 3, content[at : at + length]
            at += length
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
            yield tag >> 3, int.from_bytes(content[at : at + length], "little")
            at += length
        else:
            raise ValueError(f"a field is of the unknown kind {kind}")


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """Returns a number of seven bits a byte, least first, and where the next value starts."""
    value = shift = 0
    while True:
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number is longer than 64 bits")


def masked_crc32c(content: bytes) -> int:
    """Returns the CRC-32C of some bytes, turned by 15 bits and shifted as LevelDB stores it."""
    crc = int(_crc32c(np.frombuffer(content, np.uint8)))
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF


@compiled
def _crc32c(content: NDArray[np.uint8]) -> np.uint32:
    """Returns the CRC-32C (Castagnoli) of some bytes."""
    table = np.zeros(256, np.uint32)
    for i in range(256):
        value = np.uint32(i)
        for _ in range(8):
            odd = value & np.uint32(1)
            value = value >> np.uint32(1)
            if odd:
                value = value ^ np.uint32(_CASTAGNOLI)
        table[i] = value
    crc = np.uint32(0xFFFFFFFF)
    for byte in content:
        crc = table[(crc ^ np.uint32(byte)) & np.uint32(0xFF)] ^ (crc >> np.uint32(8))
    return crc ^ np.uint32(0xFFFFFFFF)
