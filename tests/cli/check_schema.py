#!/usr/bin/env python3
"""The JSON that is printed follows the schema, and the schema says something about every member.

Usage: check_schema.py SCHEMA PROGRAM    (PROGRAM prints one object a line)
"""
import copy
import json
import subprocess
import sys

import jsonschema

# Members in the order in which scripts and people expect them.
ORDER = ["seq", "vcpu", "kind", "exit_reason", "levels", "context", "pdptr", "changed"]
PDPTR_ORDER = ["direction", "verdict", "reason", "by_rule", "by_evidence", "is", "used", "alarm", "evidence", "values"]


def undescribed(node, path="$"):
    """Paths of properties without a description."""
    for name, sub in node.get("properties", {}).items():
        where = f"{path}.{name}"
        if not sub.get("description"):
            yield where
        yield from undescribed(sub, where)
        yield from undescribed(sub.get("items", {}), where + "[]")


def in_order(obj, order):
    places = [list(obj).index(name) for name in order]
    return places == sorted(places)


def broken(obj):
    """Objects that the schema must refuse."""
    for name in ("seq", "context", "pdptr"):
        less = copy.deepcopy(obj)
        del less[name]
        yield f"without {name}", less
    more = copy.deepcopy(obj)
    more["surprise"] = 1
    yield "with an unknown member", more
    wrong = copy.deepcopy(obj)
    wrong["tsc"] = 17
    yield "with a number for a string", wrong
    wrong = copy.deepcopy(obj)
    wrong["regs"]["rip"] = None
    yield "with null for a value that was not read", wrong


def main():
    schema = json.load(open(sys.argv[1], encoding="utf-8"))
    validator_class = jsonschema.validators.validator_for(schema)
    assert validator_class is jsonschema.Draft202012Validator, validator_class
    validator_class.check_schema(schema)
    assert not list(undescribed(schema)), list(undescribed(schema))
    validator = validator_class(schema)

    lines = subprocess.run([sys.argv[2]], check=True, capture_output=True).stdout.decode("utf-8").rstrip("\n").split("\n")
    assert len(lines) > 1000
    kinds, verdicts = set(), set()
    for line in lines:
        obj = json.loads(line)
        errors = [f"{'/'.join(map(str, e.path))}: {e.message}" for e in validator.iter_errors(obj)]
        assert not errors, (errors, line[:400])
        assert in_order(obj, ORDER), list(obj)
        kinds.add(obj["kind"])
        if obj["pdptr"]:
            assert in_order(obj["pdptr"], PDPTR_ORDER), list(obj["pdptr"])
            verdicts.add(obj["pdptr"]["verdict"])
    assert len(kinds) == 7, kinds
    assert {"skipped", "unknown"} <= verdicts, verdicts
    for what, obj in broken(json.loads(lines[0])):
        assert not validator.is_valid(obj), f"the schema takes an object {what}"
    print(f"{len(lines)} objects, kinds {sorted(kinds)}, verdicts {sorted(verdicts)}")


if __name__ == "__main__":
    main()
