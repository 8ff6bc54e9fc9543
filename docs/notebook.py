#!/usr/bin/env python3
"""Reads a Parquet file that Millpond wrote: its rows, what the columns are, and what made them.

    python3 -m venv venv && venv/bin/pip install pyarrow
    venv/bin/python notebook.py FILE.parquet

In a notebook: `head, about, table = read("FILE.parquet")`, and `table.to_pandas()` where pandas is installed. Sums of work
are columns of decimal text, since they may have 128 bits: `int(text)` is exact.
"""

import json
import sys

import pyarrow.parquet


def read(path):
    """What made the file, what its columns are, and its rows."""
    table = pyarrow.parquet.read_table(path)
    keys = table.schema.metadata
    return json.loads(keys[b"millpond.head"]), json.loads(keys[b"millpond.table"]), table


def main(path):
    head, about, table = read(path)
    print(f"{about['table']}: {about['says']} {table.num_rows} rows")
    print(f"seed {head['seed']}, {head['replications']} replications, version {head['version']}, {head['stream']}")
    print(f"configuration {head['config']}")
    for scheme in head["schemes"]:
        how = "native" if scheme["native"] else "component"
        print(f"scheme {scheme['name']}: {how} {scheme['component']}, settings {scheme['settings']}")
    for column in about["columns"]:
        values = table[column["name"]]
        print(f"{column['name']} [{column['unit'] or column['kind']}]: {column['says']}")
        print("   ", ", ".join(str(value) for value in values.slice(0, 5)), f"({values.null_count} without a value)")


if __name__ == "__main__":
    main(sys.argv[1])
