from __future__ import annotations

from pathlib import Path

import pytest

from edgeprune.config import Target
from edgeprune.errors import TargetError


def test_packaged_targets_load_by_name_and_alias(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Target.names():
        target = Target.load(name)
        assert target.name == name
        for alias in target.aliases:
            assert Target.load(alias) == target


def test_no_two_targets_share_a_name() -> None:
    labels = [label for name in Target.names() for label in (name, *Target.load(name).aliases)]
    assert len(labels) == len(set(labels))


def test_a_target_file_may_lie_anywhere(tmp_path: Path) -> None:
    file = tmp_path / "board.toml"
    file.write_text("name = 'board'\nruntime.threads = 2\n")
    assert Target.load(file).runtime.threads == 2


def test_an_unknown_target_lists_the_known_ones() -> None:
    with pytest.raises(TargetError, match=r"unknown target 'rasberry-pi': did you mean 'raspberry-pi'\? known .*host"):
        Target.load("rasberry-pi")


def test_an_unknown_key_names_the_file_and_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "board.toml"
    file.write_text("name = 'board'\n[runtime]\nthread = 2\n")
    with pytest.raises(TargetError) as caught:
        Target.load(file)
    assert f"unknown key 'runtime.thread' in {file}; did you mean 'runtime.threads'?" in str(caught.value)
