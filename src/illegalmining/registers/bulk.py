"""How much a register may hold: files that would fill the memory are refused before they are unpacked."""

from __future__ import annotations

import glob
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from illegalmining.errors import InputError

MIB = 1 << 20
LARGEST = 2048 * MIB
"""Bytes of a file that is read piece by piece: a province's licences with every corner take some tens of MiB."""
LARGEST_WHOLE = 256 * MIB
"""Bytes, unpacked, of a format that is read as a whole: text and workbooks, which take ten times as much in memory."""
MOST_ROWS = 5_000_000
READ_WHOLE = (".csv", ".txt", ".tsv", ".json", ".geojson", ".kml", ".gml", ".gpx", ".dbf", ".xlsx", ".xlsm")
ARCHIVES = (".xlsx", ".xlsm", ".kmz", ".zip", ".shz")
PARQUET = (".parquet", ".geoparquet", ".pq")


def refuse_bulk(path: Path) -> None:
    """Raise `InputError` where a register's file, or one that belongs to it, is larger than any register is."""
    belonging = path.parent.glob(f"{glob.escape(path.stem)}.*") if path.suffix.lower() in (".shp", ".dbf") else [path]
    for file in sorted(belonging):
        suffix = file.suffix.lower()
        most = LARGEST_WHOLE if suffix in READ_WHOLE else LARGEST
        if file.is_file() and file.stat().st_size > most:
            raise too_large(f"{file.name} has {file.stat().st_size / MIB:.0f} MiB", f"{most / MIB:.0f} MiB")
    if path.suffix.lower() in ARCHIVES and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > LARGEST_WHOLE:
            raise too_large(f"it unpacks to {unpacked / MIB:.0f} MiB", f"{LARGEST_WHOLE / MIB:.0f} MiB")
    if path.suffix.lower() in PARQUET and path.is_file():
        refuse_packed_rows(path)


def refuse_packed_rows(path: Path) -> None:
    """Raise `InputError` where a Parquet file holds more rows or text than any register; run lengths pack thousands of
    millions of them into kilobytes."""
    about = pq.read_metadata(path)
    if about.num_rows > MOST_ROWS:
        raise too_large(f"it holds {about.num_rows} rows", f"{MOST_ROWS} rows")
    unpacked = sum(about.row_group(group).total_byte_size for group in range(about.num_row_groups))
    if unpacked <= LARGEST:
        unpacked = repeated_bytes(path, pq.read_schema(path))
    if unpacked > LARGEST:
        raise too_large(f"it unpacks to {unpacked / MIB:.0f} MiB", f"{LARGEST / MIB:.0f} MiB")


def repeated_bytes(path: Path, schema: pa.Schema) -> int:
    """Bytes of all texts once every row has its own, told from each distinct text and how often it stands there."""
    plain = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    told = (field.type.value_type if pa.types.is_dictionary(field.type) else field.type for field in schema)
    names = [field.name for field, kind in zip(schema, told, strict=True) if any(is_kind(kind) for is_kind in plain)]
    if not names:
        return 0
    table = pq.read_table(path, columns=names, read_dictionary=names, use_threads=False)
    total = 0
    for column in table.columns:
        for piece in column.chunks:
            if not pa.types.is_dictionary(piece.type):
                total += piece.nbytes
                continue
            lengths = pc.binary_length(piece.dictionary)
            total += pc.sum(pc.cast(pc.take(lengths, piece.indices), pa.int64())).as_py() or 0
    return total


def too_large(found: str, most: str) -> InputError:
    """The error for a file that no register office meant to send."""
    return InputError(f"{found}, a register at most {most}: it is damaged or no register; export the table again")
