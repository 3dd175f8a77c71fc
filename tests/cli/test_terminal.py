"""Results go to stdout as they are, notes to stderr, and JSON is always valid."""

import datetime
import json
import uuid

import pytest
from rich.table import Table

from prismrec.cli.terminal import WIDTH, as_json, busy, emit, plain, say, show, width


def test_results_go_to_stdout_and_notes_to_stderr(capsys):
    show("a result")
    say("a note")
    assert capsys.readouterr() == ("a result\n", "a note\n")


def test_text_of_the_data_is_never_markup(capsys):
    show("[bold]Size [XL][/bold] :smile:")
    assert capsys.readouterr().out == "[bold]Size [XL][/bold] :smile:\n"


def test_long_lines_are_not_broken_so_that_paths_can_be_copied(capsys):
    line = "/folder" * 60
    show(line)
    say(line)
    assert capsys.readouterr() == (line + "\n", line + "\n")


def test_tables_in_a_pipe_are_wider_than_an_old_terminal(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    table = Table("x" * 50, "y" * 50)
    show(table)
    assert "y" * 50 in capsys.readouterr().out
    assert width() == WIDTH


def test_width_of_the_environment_wins(monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    assert width() == 70


def test_json_is_one_document_with_unicode_as_it_is(capsys):
    emit({"name": "Möbel 家具", "id": 9223372036854775807})
    text = capsys.readouterr().out
    assert json.loads(text) == {"name": "Möbel 家具", "id": 9223372036854775807}
    assert "家具" in text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), None),
        (float("inf"), None),
        (1.5, 1.5),
        (True, True),
        (("a", [1, None]), ["a", [1, None]]),
        ({1: {"x": float("-inf")}}, {"1": {"x": None}}),
        (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (datetime.date(2020, 2, 29), "2020-02-29"),
        (b"ab", "b'ab'"),
    ],
)
def test_plain_turns_anything_into_json_types(value, expected):
    assert plain(value) == expected
    assert json.loads(as_json(value)) == expected


def test_busy_says_in_lines_what_is_done_and_what_comes(capsys):
    with busy("first") as turn:
        turn("first is done", "second")
    assert capsys.readouterr() == ("", "first\nfirst is done\nsecond\n")


def test_busy_draws_on_a_terminal_and_leaves_what_is_done(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with busy("first") as turn:
        turn("first is done", "second")
    shown = capsys.readouterr().err
    assert "first is done\n" in shown
