#!/usr/bin/python3
"""Validates what the programs print against schemas/*.schema.json (JSON Schema 2020-12, $ref between the files works).

  schemas.py NAME FILE...    NAME: report, capture-summary, load-plan, ...; FILE "-": stdin
"""
import functools
import json
import sys
from pathlib import Path

import jsonschema

SCHEMAS = Path(__file__).resolve().parent.parent.parent / "schemas"


@functools.cache
def validator(name: str) -> jsonschema.Draft202012Validator:
    store = {}
    for path in SCHEMAS.glob("*.schema.json"):
        schema = json.loads(path.read_text())
        jsonschema.Draft202012Validator.check_schema(schema)
        # A reference is found by the schema's $id or by its file name beside the referring file.
        store[schema.get("$id", path.name)] = store[path.name] = store[path.as_uri()] = schema
    schema = store[name + ".schema.json"]
    resolver = jsonschema.RefResolver(schema.get("$id", (SCHEMAS / (name + ".schema.json")).as_uri()), schema, store)
    return jsonschema.Draft202012Validator(schema, resolver=resolver)


def problems(document, name: str) -> list[str]:
    """What in the document breaks the schema, one sentence each."""
    errors = sorted(validator(name).iter_errors(document), key=lambda error: list(map(str, error.absolute_path)))
    return [f"{error.json_path}: {error.message[:300]}" for error in errors]


def main() -> int:
    name, files = sys.argv[1], sys.argv[2:]
    found = []
    for file in files:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
        found += [f"{file}: {problem}" for problem in problems(json.loads(text), name)]
    print("\n".join(found) or f"{len(files)} valid {name}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
