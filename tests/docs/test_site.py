"""The documentation site builds without a warning, and with it every link, anchor and page of the navigation."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import edgeprune
from edgeprune import errors

_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=_ROOT, check=True, timeout=600,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"},
    )  # fmt: skip
    return folder


def test_site_describes_the_exit_code_of_every_error(site: Path) -> None:
    page = (site / "reference" / "exit-codes" / "index.html").read_text(encoding="utf-8")
    described = {int(code) for code in re.findall(r'id="exit-code-(\d+)"', page)}
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    codes = {cls.exit_code for cls in classes if issubclass(cls, errors.EdgePruneError)}
    assert codes | {0, 2, 130} == described
    assert all(f"<code>{cls.__name__}</code>" in page for cls in classes if issubclass(cls, errors.EdgePruneError))


def test_site_has_every_public_name(site: Path) -> None:
    page = (site / "reference" / "python" / "index.html").read_text(encoding="utf-8")
    documented = {heading.rpartition(".")[2] for heading in re.findall(r'<h[2-4] id="([\w.]+)"', page)}
    assert set(edgeprune.__all__) - {"__version__", "schedules"} <= documented


def test_notebooks_are_pages_that_can_be_downloaded(site: Path) -> None:
    for notebook in (_ROOT / "docs" / "tutorials").glob("*.ipynb"):
        page = (site / "tutorials" / notebook.stem / "index.html").read_text(encoding="utf-8")
        assert f'href="../{notebook.name}"' in page
        assert (site / "tutorials" / notebook.name).is_file()


@pytest.mark.parametrize("name", ["recipe", "target", "manifest"])
def test_every_key_of_a_file_has_a_meaning(name: str, site: Path) -> None:
    page = (site / "reference" / name / "index.html").read_text(encoding="utf-8")
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in re.findall(r"<tr>.*?</tr>", page, re.DOTALL)]
    cells = [row for row in rows if len(row) == 4]
    assert len(cells) > 20
    assert [row[0] for row in cells if not row[3].strip()] == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "CODE_OF_CONDUCT.md"])
def test_links_of_pages_outside_the_site_exist(name: str) -> None:
    page = (_ROOT / name).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?![a-z]+:|#)([^)#\s]+)", page)
    assert [link for link in links if not (_ROOT / link).exists()] == []
