"""`prismrec demo`: the whole tool on real data that comes with it."""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prismrec.cli.asking import answer_rows, answer_table
from prismrec.cli.evaluating import measure, measured_document, show_measured
from prismrec.cli.options import AsJson, Overrides
from prismrec.cli.preparing import profile_lines, profile_of
from prismrec.cli.terminal import as_json as json_text
from prismrec.cli.terminal import emit, plain, say, show

if TYPE_CHECKING:
    from prismrec.contenders import Measured
    from prismrec.data.prepared import PreparedData
    from prismrec.data.schema import Interactions, ItemTable
    from prismrec.retrieval.bundle import Bundle
    from prismrec.settings import Settings

QUICK = ("training.epochs=3", "split.max_queries=500", "evaluation.n_resamples=200")
"""What --quick changes: enough to see everything once, too little to believe the figures."""

QUICK_MODELS = ("popularity", "cooccurrence", "m2grl")
SIMILAR_WEIGHTS = {"item": 1.0, "category": 1.0}
"""With four clicks per product the item view alone is noise; its category says what a product is."""

HISTORY = 8
"""How many of a household's latest products the demo shows and asks with."""


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where bundle, results and settings go.")
    ] = Path("demo-output"),
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer models, epochs and queries: a look, not a result.")
    ] = False,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Train on bundled real shopping data, compare models, recommend: a tour in a few minutes.

    The data are a year of grocery purchases of 2,405 households (Complete Journey, 84.51°, CC0).

    Example: `prismrec demo --output demo-output`
    """
    from prismrec.contenders import BASELINES, DEFAULT
    from prismrec.inputs import read_tables
    from prismrec.settings import demo_settings

    settings = demo_settings([*(QUICK if quick else ()), *(overrides or ())])
    say("1 of 3: the data (Complete Journey, 84.51°, CC0 1.0)")
    profile = profile_of(settings)
    if not as_json:
        show("\n".join(profile_lines(profile)))
    say("2 of 3: models beside each other, each tuned on validation data")
    log, items = read_tables(settings)
    measured = measure(settings, log, items, QUICK_MODELS if quick else DEFAULT, BASELINES)
    if not as_json:
        show_measured(measured)
    say("3 of 3: the model that goes into the bundle, on all of the data")
    bundle, data = _train(log, items, settings, measured, output / "bundle")
    _write_files(output, measured_document(measured, settings))
    answers = _answers(bundle, data)
    if as_json:
        evaluation = measured_document(measured, settings)
        emit({"folder": output, "counts": vars(profile.counts), "evaluation": evaluation, **_as_rows(answers)})
    else:
        _show_answers(bundle, answers)
        _show_next(output, answers)


def _train(
    log: Interactions, items: ItemTable | None, settings: Settings, measured: Measured, path: Path
) -> tuple[Bundle, PreparedData]:
    """The final model, asked as the comparison tuned it: nothing is tuned twice."""
    from prismrec.contenders import M2GRL
    from prismrec.fitting import fit
    from prismrec.inputs import prepare_log
    from prismrec.pipeline import contents_of
    from prismrec.retrieval.blend import QuerySettings
    from prismrec.retrieval.bundle import Bundle
    from prismrec.training.progress import make_progress

    data = prepare_log(log, items, settings)
    training = settings.training.model_copy(update={"patience": 0})  # nothing is held out here to stop by
    fitted = fit(data, settings.model_copy(update={"training": training}), progress=make_progress("bar"))
    result = measured.comparison.results[M2GRL]
    metrics = {name: result.mean(name) for name in result.values if name.startswith(("HR@", "NDCG@"))}
    query, document = QuerySettings(**measured.chosen[M2GRL]), plain(measured_document(measured, settings))
    return Bundle.write(path, contents_of(fitted, settings, query, metrics, document)), data


def _write_files(output: Path, document: dict[str, Any]) -> None:
    from prismrec.files import whole_file
    from prismrec.settings import demo_settings_text

    for name, text in (("results.json", json_text(document) + "\n"), ("prismrec.toml", demo_settings_text())):
        with whole_file(output / name) as partial:
            partial.write_text(text, encoding="utf-8")


def _answers(bundle: Bundle, data: PreparedData) -> dict[str, Any]:
    """What the bundle says to one household with a middling history, and to the last thing it bought."""
    lengths = data.histories.lengths
    row = next(row for row in range(len(lengths)) if lengths[row] >= 3 * HISTORY)
    start, end = data.histories.offsets[row : row + 2]
    bought = data.histories.values[start:end][-HISTORY:]
    history = bundle.items.ids_of(bought)
    return {
        "household": data.users.id_of(row),
        "history": history,
        "recommended": bundle.recommend(history, k=10),
        "similar": bundle.similar(history[-1], k=5, weights=SIMILAR_WEIGHTS),
    }


def _as_rows(answers: dict[str, Any]) -> dict[str, Any]:
    return {**answers, "recommended": answer_rows(answers["recommended"]), "similar": answer_rows(answers["similar"])}


def _show_answers(bundle: Bundle, answers: dict[str, Any]) -> None:
    import pyarrow as pa

    columns, history = bundle.contents.item_columns, answers["history"]
    names = pa.nulls(len(bundle.items)) if columns is None else columns["name"]
    show(f"\nHousehold {answers['household']} last bought:")
    for item_id in history:
        name = names[bundle.items.index_of(item_id)].as_py()
        show(f"  {item_id}  {name or ''}")
    show(answer_table(answers["recommended"], "Recommended next"))
    show(answer_table(answers["similar"], f"Similar to {history[-1]}, by item and category"))


def _show_next(output: Path, answers: dict[str, Any]) -> None:
    bundle, config, last = output / "bundle", output / "prismrec.toml", answers["history"][-1]
    command = "prismrec" if shutil.which("prismrec") else sys.argv[0]  # make demo leaves it in .venv/bin
    for line in (
        f"In {output}: bundle (the model), results.json (all figures), prismrec.toml (settings, to copy for your data)",
        "Next:",
        f"  {command} similar {bundle} {last} --weight item=1 --weight category=1 --weight shop=-0.2",
        f"  {command} recommend {bundle} --history {answers['history'][0]} --history {last}",
        f"  {command} profile {config}",
        f"  {command} evaluate {config} --ablations",
        f"  {command} evaluate {config} --set split.protocol=next_in_session",
        "Serve it, with a page to explore it at http://127.0.0.1:8000/:",
        *(() if find_spec("fastapi") else (f"  {sys.executable} -m pip install 'prismrec[serve]'",)),
        f"  {command} serve {bundle}",
    ):
        show(line)


__all__ = ["HISTORY", "QUICK", "QUICK_MODELS", "demo"]
