"""User code is found by name, and failures in it name its own line."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeprune.errors import DataError, ModelError
from edgeprune.model.user_objects import load_object


def test_a_file_is_relative_to_the_base(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("class Net:\n    @staticmethod\n    def small(): return 3\n")
    assert load_object("net.py:Net.small", base=tmp_path)() == 3


def test_files_with_equal_names_in_two_folders_are_distinguished(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.py").write_text(f"def build(): return {name!r}\n")
    builds = [load_object("model.py:build", base=tmp_path / name) for name in ("a", "b")]
    assert [build() for build in builds] == ["a", "b"]


def test_a_file_imports_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_net.py").write_text("WIDTH = 7\n")
    (tmp_path / "net.py").write_text("from neighbour_of_net import WIDTH\ndef build(): return WIDTH\n")
    assert load_object("net.py:build", base=tmp_path)() == 7


def test_a_package_is_importable_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "user_package_for_sources"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "nets.py").write_text("def build(): return 11\n")
    monkeypatch.chdir(tmp_path)
    assert load_object("user_package_for_sources.nets:build", base=Path("/nowhere"))() == 11


@pytest.mark.parametrize("spec", ["", "net.py", "net.py:", ":build"])
def test_spec_without_a_colon_is_refused(spec: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"file\.py:name"):
        load_object(spec, base=tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.py"):
        load_object("absent.py:load", base=tmp_path, error=DataError)


def test_a_missing_module_is_named() -> None:
    with pytest.raises(ModelError, match=r"'no_such_package_anywhere\.nets'"):
        load_object("no_such_package_anywhere.nets:build", base=Path())


def test_unknown_name_lists_the_available_names(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("def build(): ...\ndef other(): ...\n")
    with pytest.raises(ModelError, match=r"net\.py .*'bild'.* build, other$"):
        load_object("net.py:bild", base=tmp_path)


def test_code_that_fails_on_import_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("x = 1\ny = x / 0\n")
    with pytest.raises(ModelError, match=r"ZeroDivisionError.*net\.py, line 2"):
        load_object("net.py:build", base=tmp_path)


def test_missing_import_of_a_user_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("import no_such_package_anywhere\n")
    with pytest.raises(ModelError, match=r"'no_such_package_anywhere'.*net\.py.*1"):
        load_object("net.py:build", base=tmp_path)


def test_a_syntax_error_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("def build(:\n")
    with pytest.raises(ModelError, match=r"SyntaxError.*net\.py, line 1"):
        load_object("net.py:build", base=tmp_path)
