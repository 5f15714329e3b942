#!/usr/bin/env python3
"""`vmxscopectl import --json` follows its schema for every sample, and the schema says something about every member.

Usage: check_import_schema.py SCHEMA VMXSCOPECTL FOLDER    (FOLDER holds dumps, named after their formats)
"""
import copy
import json
import subprocess
import sys
from pathlib import Path

import jsonschema

from check_schema import undescribed


def broken(obj):
    """Objects that the schema must refuse."""
    for name in ("format", "vmcses", "warnings"):
        less = copy.deepcopy(obj)
        del less[name]
        yield f"without {name}", less
    more = copy.deepcopy(obj)
    more["vmcses"][0]["surprise"] = 1
    yield "with an unknown member", more
    wrong = copy.deepcopy(obj)
    wrong["vmcses"][0]["fields"][0]["value"] = 17
    yield "with a number for a string", wrong


def main():
    schema = json.load(open(sys.argv[1], encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert not list(undescribed(schema)), list(undescribed(schema))
    validator = jsonschema.Draft202012Validator(schema)
    formats = set()
    for sample in sorted(Path(sys.argv[3]).iterdir()):
        out = subprocess.run([sys.argv[2], "import", str(sample), "--json"], check=True, capture_output=True).stdout
        with open(sample, "rb") as dump:
            piped = subprocess.run([sys.argv[2], "import", "-", "--json"], check=True, stdin=dump, capture_output=True)
        assert piped.stdout == out, f"{sample.name} from standard input"
        obj = json.loads(out.decode("utf-8"))
        validator.validate(obj)
        assert sample.name.startswith(obj["format"]), (sample.name, obj["format"])
        formats.add(obj["format"])
        for what, bad in broken(obj):
            assert not validator.is_valid(bad), f"accepted: {sample.name} {what}"
    assert formats == set(schema["properties"]["format"]["enum"]), formats
    print(f"{len(formats)} formats follow the schema")


main()
