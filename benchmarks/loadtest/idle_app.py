"""FastAPI and uvicorn alone: a route that reads its body and answers fifty items that are always the same.

    python idle_app.py PORT

What it costs is what HTTP costs; what `prismrec serve` costs more is search, checks, logs and figures.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI, Request

ITEMS = [
    {
        "item_id": 10_000_000 + i,
        "score": 1.0 / (i + 1),
        "columns": {"name": f"article {i} of the invented catalogue", "price": 9.99, "category": "category 17"},
    }
    for i in range(50)
]

app = FastAPI()


@app.get("/ready")
async def ready() -> dict[str, str]:
    """It answers."""
    return {"status": "ready"}


@app.post("/v1/recommend")
async def recommend(request: Request) -> dict[str, Any]:
    """The same for everybody."""
    json.loads(await request.body())
    return {"items": ITEMS, "unknown_ids": [], "basis": "history", "release": 1}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False)
