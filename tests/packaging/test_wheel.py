"""The wheel in a clean virtual environment and an empty folder."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(_ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=1500)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment with the wheel alone, and the dependencies of this one on its path.

    The dependencies take gigabytes and minutes, so they are not installed again. A path in a .pth file does not run
    the .pth files of the folder it names: the editable install that may be there stays out.
    """
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    query = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.run([python, "-c", query], check=True, capture_output=True, text=True).stdout.strip())
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(command, check=True, capture_output=True, timeout=1500)
    return folder / "bin"


def test_the_wheel_has_the_package_its_data_and_its_licence_alone(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"edgeprune"}
    for needed in (
        "edgeprune/py.typed",
        "edgeprune/_data/recipes/digits/recipe.toml",
        "edgeprune/_data/recipes/digits/digits.safetensors",
        "edgeprune/_data/targets/raspberry-pi-4.toml",
    ):
        assert needed in names
    assert any(name.endswith("/LICENSE") for name in names)
    assert not [name for name in names if "__pycache__" in name]


def test_the_description_has_no_relative_links(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        text = archive.read(name).decode()
    assert "edgeprune build" in text
    assert not re.findall(r"\]\((?!https?://|#)[^)]*\)", text)


def test_the_installed_command_lists_what_was_packaged(clean: Path, tmp_path: Path) -> None:
    for what, name in (("recipes", "digits"), ("targets", "raspberry-pi-4")):
        command = [clean / "edgeprune", what, "list", "--json"]
        ended = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
        assert name in [entry["name"] for entry in json.loads(ended.stdout)]
    where = [clean / "python", "-c", "import edgeprune; print(edgeprune.__file__)"]
    ended = subprocess.run(where, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert ended.stdout.startswith(str(clean.parent))


def test_the_main_job_runs_in_an_empty_folder(clean: Path, tmp_path: Path) -> None:
    command = [clean / "edgeprune", "build", "--target", "raspberry-pi-4", "--epochs", "1", "--json"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=1500, check=False)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["manifest"]["recipe"]
    assert sorted(path.name for path in (tmp_path / "dist").iterdir()) == [
        "digits-raspberry-pi-4",
        "digits-raspberry-pi-4.tar.gz",
    ]
