"""Classes are found by name, a user's own too, and made with options that are checked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import pytest

from edgeprune.errors import InputError
from edgeprune.model.registry import REQUIRED, Registry, documentation, options_of


class Animal(ABC):
    """Says something."""

    name: ClassVar[str]

    @abstractmethod
    def say(self) -> str: ...


class Loud(Animal):
    """Option ``times``: how often."""

    def __init__(self, word: str, times: int = 1) -> None:
        self.said = word * times

    def say(self) -> str:
        return self.said


class Dog(Loud):
    """Barks.

    Also at night.
    """

    name = "dog"


class Cat(Animal):
    name = "cat"

    def say(self) -> str:
        return "miaow"


@pytest.fixture
def animals() -> Registry[Animal]:
    registry = Registry[Animal](Animal, "animal", also=("any",))
    assert registry.register(Dog) is Dog
    registry.register(Cat)
    return registry


def test_classes_are_found_by_name(animals: Registry[Animal]) -> None:
    assert list(animals.registered().items()) == [("cat", Cat), ("dog", Dog)]
    assert animals.find("dog") is Dog


def test_duplicate_name_is_refused(animals: Registry[Animal]) -> None:
    with pytest.raises(AssertionError, match="two are named dog"):
        animals.register(Dog)


def test_unknown_name_lists_all_names_and_the_nearest(animals: Registry[Animal]) -> None:
    with pytest.raises(InputError, match=r"^animal: .*'dogs'.* any, cat, dog, .*'dog'\?$"):
        animals.find("dogs")


def test_own_class_is_found_in_the_folder(animals: Registry[Animal], tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(f"from {__name__} import Cat\nclass Own(Cat): ...\nclass Thing: ...\n")
    assert issubclass(animals.find("own.py:Own", tmp_path), Cat)
    with pytest.raises(InputError, match=r"^animal: own\.py:Thing .*\.Animal$"):
        animals.find("own.py:Thing", tmp_path)


def test_options_are_those_of_the_constructor(animals: Registry[Animal]) -> None:
    assert options_of(Dog) == {"word": REQUIRED, "times": 1}
    assert options_of(Cat) == {}
    assert animals.make(Dog, {"word": "wau", "times": 2}).say() == "wauwau"
    assert animals.make(Cat, None).say() == "miaow"
    assert animals.create("dog", {"word": "wau"}).say() == "wau"


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (Dog, {"word": "wau", "colour": 1}, "animal: dog has no option 'colour'; allowed are word, times"),
        (Dog, {"times": 2}, "animal: dog needs option 'word'; allowed are word, times"),
        (Cat, {"word": "wau"}, "animal: cat has no option 'word'; allowed are none"),
    ],
)
def test_options_are_checked(
    animals: Registry[Animal], kind: type[Animal], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError) as error:
        animals.make(kind, options)
    assert str(error.value) == message


def test_documentation_ends_before_the_base() -> None:
    assert documentation(Dog, Animal) == "Barks.\n\nAlso at night.\n\nOption ``times``: how often."
    assert documentation(Cat, Animal) == ""
