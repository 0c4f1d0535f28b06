"""The documentation site builds without a warning, and with it every link, anchor and page of the navigation."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_site_has_every_exit_code(site: Path) -> None:
    page = (site / "reference" / "exit-codes" / "index.html").read_text(encoding="utf-8")
    assert set(range(8)) <= {int(code) for code in re.findall(r"<td[^>]*>(\d)</td>", page)}


def test_notebooks_are_pages_that_can_be_downloaded(site: Path) -> None:
    for notebook in (_ROOT / "docs" / "tutorials").glob("*.ipynb"):
        page = (site / "tutorials" / notebook.stem / "index.html").read_text(encoding="utf-8")
        assert f'href="../{notebook.name}"' in page
        assert (site / "tutorials" / notebook.name).is_file()
