"""Writes the golden bundle of the current schema and its expected answers. Run once per schema version, never to make a
test pass:

    python tests/retrieval/golden/make.py

A bundle in the hands of a user must go on answering as it did; the files here stand for all of those.
"""

import dataclasses
import json
import runpy
from pathlib import Path
from typing import Any

from prismrec.retrieval.bundle import Bundle
from prismrec.retrieval.index.settings import IndexSettings
from prismrec.retrieval.manifest import SCHEMA_VERSION

HERE = Path(__file__).parent / f"version_{SCHEMA_VERSION}"
QUESTIONS: list[dict[str, Any]] = [
    {"history": [2**60 + 4, 2**60 + 2]},
    {"history": [2**60 + 9], "user": "bob", "exclude_seen": False},
    {"history": []},
]
"""Of version 3; those of the versions before it are in their `expected.json`."""


def main() -> None:
    """Write `bundle/` and `expected.json` into the folder of the schema version."""
    contents = runpy.run_path(str(Path(__file__).parents[1] / "conftest.py"))["make_encoded_contents"]()
    contents = dataclasses.replace(
        contents, index=IndexSettings(kind="scan"), evaluation={"experiments": [{"data": "invented"}]}
    )
    bundle = Bundle.write(HERE / "bundle", contents)
    answers = [
        {"question": question, "answer": [[a.item_id, round(a.score, 4)] for a in bundle.recommend(k=6, **question)]}
        for question in QUESTIONS
    ]
    (HERE / "expected.json").write_text(json.dumps(answers, indent=1) + "\n")


if __name__ == "__main__":
    main()
