"""The page's files: complete, compressed, named by their content, plain data only."""

import gzip
import re

import pytest

from prismrec.errors import MissingExtraError
from prismrec.serving.page import files as page_files
from prismrec.serving.page.files import FOLDER, MEDIA_TYPES, PLOTLY, PageFiles

SCRIPTS = sorted(FOLDER.glob("*.js"))
STYLES = sorted(FOLDER.glob("*.css"))


def test_every_file_is_found_compressed_and_with_its_type():
    files = PageFiles()
    for path in FOLDER.iterdir():
        if path.name == "index.html":
            continue
        file = files.find(path.name)
        assert file.content == path.read_bytes()
        assert gzip.decompress(file.compressed) == file.content
        assert file.media_type == MEDIA_TYPES[path.suffix]
    assert files.find("index.html") is None
    assert files.find("../data.py") is None


def test_plotly_comes_from_its_package_well_compressed():
    files = PageFiles()
    file = files.find(PLOTLY)
    assert b"plotly.js v" in file.content[:200]
    assert len(file.compressed) < 0.4 * len(file.content)
    assert files.find(PLOTLY) is file, "compressed once"


def test_page_names_files_under_the_digest_alone():
    files = PageFiles()
    page = files.index.content.decode()
    assert "{assets}" not in page
    named = re.findall(r'(?:src|href)="([^"#]+)"', page)
    assert len(named) >= 6
    for address in named:
        folder, _, name = address.rpartition("/")
        assert folder == f"page/assets/{files.digest}"
        assert files.find(name) is not None


def test_digest_changes_with_any_file(tmp_path):
    for path in FOLDER.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    same = PageFiles(tmp_path).digest
    assert same == PageFiles().digest
    with open(tmp_path / "base.css", "a") as style:
        style.write("\n")
    assert PageFiles(tmp_path).digest != same


def test_missing_plotly_names_the_extra(monkeypatch):
    monkeypatch.setattr(page_files, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"explorer page needs plotly: pip install 'prismrec\[serve\]'"):
        PageFiles()


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_import_only_files_that_are_there(path):
    for name in re.findall(r'(?:from|import) "\./([^"]+)"', path.read_text()):
        assert (FOLDER / name).is_file()


@pytest.mark.parametrize("path", [*SCRIPTS, FOLDER / "index.html"], ids=lambda path: path.name)
def test_text_never_becomes_markup_and_nothing_comes_from_elsewhere(path):
    text = path.read_text()
    for way in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "javascript:",
    ):
        assert way not in text
    addresses = set(re.findall(r"https?://[^\s\"']+", text))
    assert addresses == set()


@pytest.mark.parametrize("path", STYLES, ids=lambda path: path.name)
def test_styles_load_nothing_and_use_only_colours_that_are_set(path):
    text = path.read_text()
    assert "url(" not in text
    assert "@import" not in text
    known = set(re.findall(r"(--[\w-]+):", "".join(style.read_text() for style in STYLES)))
    known |= set(re.findall(r'"(--[\w-]+)"', "".join(script.read_text() for script in SCRIPTS)))
    assert set(re.findall(r"var\((--[\w-]+)", text)) <= known


def test_dark_sets_every_colour_that_light_sets():
    text = (FOLDER / "base.css").read_text()
    light, dark = (set(re.findall(r"(--[\w-]+): #", block)) for block in re.findall(r":root[^{]*\{([^}]*)\}", text)[:2])
    assert light == dark
