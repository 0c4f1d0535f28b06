"""The drawing of the coupling: what it says, as text and as a picture."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import combinations

import pytest
import torch
from torch import nn

from edgeprune import graph
from edgeprune.cost import cost_of
from edgeprune.report.coupling_picture import svg
from edgeprune.report.coupling_text import Coupling, CouplingLayer, CouplingRail, coupling_of, text
from tests.networks.collection import cases, shared

_SVG = "{http://www.w3.org/2000/svg}"


def drawn(name: str) -> tuple[Coupling, graph.Units, nn.Module]:
    network, _, units = shared(name)
    return coupling_of(units, network), units, network


def chain(layers: int, reason: str = "output of the network") -> Coupling:
    """Each layer reads the one before; the stream of every third is alive to the end."""
    names = [f"stages.{at}.block.conv" for at in range(layers)]
    rails = [
        CouplingRail(
            name, 16, 0.125, reason if at == layers - 1 else None, (name,), tuple(names[at + 1 :: at % 3 + 1][:40]), ()
        )
        for at, name in enumerate(names)
    ]
    return Coupling(tuple(CouplingLayer(name, 10**at, 7, 16 * (at + 1)) for at, name in enumerate(names)), tuple(rails))


def labels(picture: str) -> list[tuple[str, tuple[float, float, float, float]]]:
    """All text with the box it takes: left, top, right, bottom. A letter is 0.6 em wide in common monospaced fonts."""
    results = []
    for element in ET.fromstring(picture.encode()).iter(f"{_SVG}text"):
        content = "".join(element.itertext())
        x, y, size = (float(element.attrib[name]) for name in ("x", "y", "font-size"))
        wide = 0.6 * size * len(content)
        remaining = x - {"start": 0.0, "middle": wide / 2, "end": wide}[element.attrib["text-anchor"]]
        results.append((content, (remaining, y - 0.75 * size, remaining + wide, y + 0.2 * size)))
    return results


def overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@pytest.mark.parametrize("name", cases())
def test_every_layer_and_group_is_drawn_once_and_no_text_overlaps(name: str) -> None:
    coupling, units, _ = drawn(name)
    picture = svg(coupling, title=name, subtitle="what it is")
    root = ET.fromstring(picture.encode())
    output = labels(picture)
    contents = [content for content, _ in output]

    assert [rail.name for rail in coupling.rails] == [group.name for group in units.groups]
    for layer in coupling.layers:
        assert layer.name in contents
    for number, rail in enumerate(coupling.rails, start=1):
        assert sum(content.startswith(f"{rail.name}, {rail.units:,} unit") for content in contents) == 1
        assert contents.count(str(number)) >= 2, "once on the rail, once in the legend"
    assert [a for a, b in combinations(output, 2) if overlap(a[1], b[1]) and a[0]] == []
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    assert all(
        left >= 0 and top >= 0 and right <= width and bottom <= height for _, (left, top, right, bottom) in output
    )


@pytest.mark.parametrize("name", cases())
def test_figures_are_those_of_the_network(name: str) -> None:
    coupling, units, network = drawn(name)
    cost = cost_of(units, network)
    assert sum(layer.macs for layer in coupling.layers) == cost.macs
    assert sum(layer.params for layer in coupling.layers) == cost.params
    for rail, group in zip(coupling.rails, units.groups, strict=True):
        removed = torch.zeros(len(units), dtype=torch.bool)
        removed[group.start : group.stop] = True
        assert rail.macs_fraction == pytest.approx(1 - cost_of(units, network, removed).macs / cost.macs)
        assert (rail.units, rail.frozen) == (len(group), group.frozen)


def test_roles_of_a_residual_network() -> None:
    coupling, _, _ = drawn("zero-padded-residual")
    stem = coupling.rails[0]
    roles = {layer.name: stem.role(layer.name) for layer in coupling.layers}
    assert roles == {
        "stem.0": "makes",
        "stem.1": "other",
        "one.0": "both",
        "one.1": "other",
        "conv": "both",
        "norm": "other",
        "head.linear": "reads",
    }


def test_text_draws_a_line_a_layer_with_the_groups_that_begin_there() -> None:
    layers = tuple(CouplingLayer(name, 1, 1, 8) for name in ("stem", "norm", "a", "b", "head"))
    rails = (
        CouplingRail("stem", 8, 0.5, None, ("stem", "b"), ("a", "head"), ("norm",)),
        CouplingRail("a", 8, 0.5, None, ("a",), ("b",), ()),
        CouplingRail("head", 4, 0.1, "output of the network", ("head",), (), ()),
    )
    assert text(Coupling(layers, rails)) == ["●   stem", "┼ ", "○●  a", "●○", "○●  head"]
    assert text(Coupling(layers, rails), ascii_only=True) == ["#   stem", "+ ", "o#  a", "#o", "o#  head"]


def test_frozen_groups_are_gray_and_have_their_reason() -> None:
    picture = svg(chain(3, reason="excluded by '<head> & \"tail\"*'"), title="a < b & c")
    root = ET.fromstring(picture.encode())
    assert next(element.text for element in root.iter(f"{_SVG}title")) == "a < b & c"
    groups = [element for element in root.iter(f"{_SVG}g") if element.get("class") == "group"]
    grey = [{disc.get("fill") for disc in group.iter(f"{_SVG}circle")} == {"#8d939a"} for group in groups]
    assert grey == [False, False, True]
    assert "excluded by '<head> & \"tail\"*'" in labels(picture)[-1][0]


@pytest.mark.parametrize("layers", [1, 31, 130])
def test_large_networks_stay_readable(layers: int) -> None:
    output = labels(svg(chain(layers), title="chain"))
    assert len(output) > 4 * layers
    assert [(a[0], b[0]) for a, b in combinations(output, 2) if overlap(a[1], b[1])] == []


def test_rails_side_by_side_differ_in_colour_while_there_are_enough() -> None:
    names = [f"l{at}" for at in range(9)]
    layers = tuple(CouplingLayer(name, 1, 1, 4) for name in [*names, "sum"])
    rails = tuple(CouplingRail(name, 4, 0.1, None, (name,), ("sum",), ()) for name in names)
    root = ET.fromstring(svg(Coupling(layers, rails), title="wide").encode())
    colours = [
        next(group.iter(f"{_SVG}line")).get("stroke")
        for group in root.iter(f"{_SVG}g")
        if group.get("class") == "group"
    ]
    assert len(set(colours)) == len(names)


def test_a_network_without_layers_is_a_picture_too() -> None:
    picture = svg(Coupling((), ()), title="nothing")
    assert "nothing" in [content for content, _ in labels(picture)]
    assert text(Coupling((), ())) == []


def test_importing_the_drawing_loads_no_torch() -> None:
    code = "import sys, edgeprune.report.coupling_text; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
