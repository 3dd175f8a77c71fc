"""What the tracking tools are told, read back with their own readers."""

import builtins
from pathlib import Path

import pytest

from prismrec.errors import ArtifactError, MissingExtraError
from prismrec.training import trackers
from prismrec.training.trackers import MLflow, TensorBoard


@pytest.fixture
def without(monkeypatch):
    """`without("mlflow")`: as if the package were not installed."""

    def hide(package):
        original = builtins.__import__

        def imports(name, *rest):
            if name.partition(".")[0] == package:
                raise ModuleNotFoundError(f"No module named {package!r}", name=package)
            return original(name, *rest)

        monkeypatch.setattr(builtins, "__import__", imports)

    return hide


def curves(folder: Path):
    """Tag -> [(step, value)] of the only run below a folder, read by TensorBoard itself; texts by tag."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    scalars: dict[str, list[tuple[int, float]]] = {}
    texts: dict[str, str] = {}
    (file,) = folder.rglob("events.out.tfevents.*")
    for event in LegacyEventFileLoader(str(file)).Load():
        for value in event.summary.value:
            if value.HasField("simple_value"):
                scalars.setdefault(value.tag, []).append((event.step, value.simple_value))
            else:
                texts[value.tag] = value.tensor.string_val[0].decode()
    return scalars, texts


def mlflow_client(place):
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=place)


# ---- TensorBoard ----


def test_tensorboard_gets_every_point_at_once_and_the_settings_as_text(tmp_path):
    run = TensorBoard(tmp_path, "shop").begin("bundle", {"training.epochs": "20", "seed": "0"})
    run.scalars({"loss/item": 2.5, "weight/item": 1.0}, 3)
    run.scalars({"loss/item": 1.5}, 6)
    scalars, texts = curves(tmp_path)  # before the end: a killed run keeps its curves
    assert scalars == {"loss/item": [(3, 2.5), (6, 1.5)], "weight/item": [(3, 1.0)]}
    assert texts["settings"].splitlines()[2:] == ["| training.epochs | 20 |", "| seed | 0 |"]
    run.end("finished")


def test_runs_of_one_name_lie_apart_even_within_a_second(tmp_path):
    board = TensorBoard(tmp_path, "shop")
    for _ in range(3):
        board.begin("bundle", {}).end("finished")
    folders = sorted(path.name for path in (tmp_path / "shop").iterdir())
    assert len(folders) == 3
    assert all(name.startswith("bundle-2") for name in folders)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "shop").write_text("a file in the way")
    with pytest.raises(ArtifactError, match=r"cannot track to .*shop/bundle-.*: .*shop"):
        TensorBoard(tmp_path, "shop").begin("bundle", {})


def test_without_tensorboard_the_extra_is_named(tmp_path, without):
    without("tensorboard")
    with pytest.raises(MissingExtraError, match=r"tracking to TensorBoard needs tensorboard: .*prismrec\[tracking\]"):
        TensorBoard(tmp_path, "shop")


# ---- MLflow ----


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """A folder with a database: MLflow takes seconds to make one."""
    pytest.importorskip("mlflow")
    folder = tmp_path_factory.mktemp("mlflow")
    return folder, MLflow(folder, "shop")


def test_mlflow_gets_points_parameters_and_how_it_ended(database):
    folder, tracker = database
    parameters = {f"setting{i}": str(i) for i in range(150)}  # more than MLflow takes in one call
    run = tracker.begin("bundle", parameters)
    run.scalars({"loss/item": 2.5}, 3)
    run.scalars({"loss/item": 1.5}, 6)
    run.end("stopped")
    client = mlflow_client(f"sqlite:///{folder}/mlflow.db")
    (found,) = client.search_runs([client.get_experiment_by_name("shop").experiment_id])
    assert found.info.run_name == "bundle"
    assert found.info.status == "KILLED"
    assert found.data.params == parameters
    points = client.get_metric_history(found.info.run_id, "loss/item")
    assert sorted((point.step, point.value) for point in points) == [(3, 2.5), (6, 1.5)]


def test_mlflow_takes_up_an_experiment_that_is_there(database):
    folder, tracker = database
    assert MLflow(folder, "shop")._experiment == tracker._experiment
    assert MLflow(folder, "other")._experiment != tracker._experiment


def test_what_mlflow_refuses_is_told_with_its_place(database):
    folder, tracker = database
    run = tracker.begin("bundle", {})
    with pytest.raises(ArtifactError, match=rf"cannot track to sqlite:///{folder}/mlflow.db: .*name"):
        run.scalars({"no such name!?": 1.0}, 1)


def test_a_server_that_does_not_answer_is_named(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ArtifactError, match=r"cannot track to http://127.0.0.1:9: "):
        MLflow(tmp_path, "shop", "http://127.0.0.1:9")
    assert not (tmp_path / "mlflow.db").exists()


def test_without_mlflow_the_extra_is_named(tmp_path, without):
    without("mlflow")
    with pytest.raises(MissingExtraError, match=r"tracking to MLflow needs mlflow: .*prismrec\[tracking\]"):
        MLflow(tmp_path, "shop")


def test_every_outcome_has_a_status():
    assert set(trackers.MLFLOW_STATUS) == {"finished", "failed", "stopped"}
