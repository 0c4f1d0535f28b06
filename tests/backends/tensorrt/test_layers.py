"""Exports of trtexec: recorded ones of older and newer releases, and broken ones."""

from __future__ import annotations

import pytest

from edgeprune.backends.tensorrt.layers import Layer, LayerTime, Tensor, read_layers, read_profile
from edgeprune.errors import DeviceError

PROFILE = (
    '[ { "count" : 41400 } , { "name" : "/conv1/Conv + /act1/Relu", "timeMs" : 1160.78, "averageMs" : 0.0280382, '
    '"medianMs" : 0.027872, "percentage" : 100 } ]'
)
LAYERS = (
    '{"Layers": [{"Name": "/conv1/Conv", "LayerType": "CaskConvolution", "Inputs": [{"Name": "x", "Location": '
    '"Device", "Dimensions": [-1,128,14,14], "Format/Datatype": "Channel vectorized row major Int8 format"}], '
    '"Outputs": [], "ParameterType": "Convolution", "Kernel": [3,3], "OutMaps": 12, "Weights": {"Type": "Int8", '
    '"Count": 13824}, "TacticName": "sm80_xmma_fprop"}, {"Name": "Reformatting CopyNode for Input Tensor 0 to /conv1", '
    '"LayerType": "Reformat"}], "Bindings": ["input", "output"]}'
)
# Keys as in "Migrating IEngineInspector Usage from TensorRT 10.x to 11.x".
LAYERS_11 = (
    '{"Layers": [{"Name": "/conv1/Conv", "LayerType": "CaskConvolution", "Inputs": [{"Name": "x", "Dimensions": '
    '[1,3,224,224], "Format": "Row major linear", "DataType": "Half"}]}], "I/O Tensors": [{"Name": "input_0", '
    '"IOMode": "Input", "DataType": "Float", "Dimensions": [1,3,224,224], "Location": "Device"}]}'
)


def test_the_time_of_each_layer() -> None:
    (layer,) = read_profile(PROFILE)
    assert layer == LayerTime("/conv1/Conv + /act1/Relu", 0.0280382, 0.027872, 1.0)


def test_older_releases_give_no_median() -> None:
    (layer,) = read_profile(PROFILE.replace('"medianMs" : 0.027872, ', ""))
    assert (layer.mean_ms, layer.median_ms) == (0.0280382, None)


def test_layers_up_to_release_10() -> None:
    found = read_layers(LAYERS)
    assert [tensor.name for tensor in found.bindings] == ["input", "output"]
    first, second = found.layers
    assert (first.kind, first.weights, first.tactic) == ("CaskConvolution", "Int8", "sm80_xmma_fprop")
    layout = "Channel vectorized row major Int8 format"
    assert first.inputs == (Tensor("x", (-1, 128, 14, 14), None, layout),)
    assert found.reformats == (second,)


def test_layers_from_release_11_on() -> None:
    found = read_layers(LAYERS_11)
    assert found.bindings == (Tensor("input_0", (1, 3, 224, 224), "Float"),)
    assert found.layers[0].inputs == (Tensor("x", (1, 3, 224, 224), "Half", "Row major linear"),)


def test_without_detailed_verbosity_there_are_names_alone() -> None:
    found = read_layers('{"Layers": ["/conv1/Conv", "Reformatting CopyNode for Output Tensor 0"], "Bindings": ["x"]}')
    assert found.layers[0] == Layer("/conv1/Conv")
    assert [layer.name for layer in found.reformats] == ["Reformatting CopyNode for Output Tensor 0"]


@pytest.mark.parametrize("text", [PROFILE[:end] for end in range(0, len(PROFILE) - 1, 7)])
def test_a_profile_that_is_cut_off_is_refused(text: str) -> None:
    with pytest.raises(DeviceError, match="--exportProfile cannot be read"):
        read_profile(text)


@pytest.mark.parametrize("text", [LAYERS[:end] for end in range(0, len(LAYERS) - 1, 23)])
def test_layers_that_are_cut_off_are_refused(text: str) -> None:
    with pytest.raises(DeviceError, match="--exportLayerInfo cannot be read"):
        read_layers(text)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "null",
        "[1]",
        '[{"name": "x"}]',
        '[{"name": "x", "averageMs": NaN, "percentage": 1}]',
        '[{"name": "x", "averageMs": -1, "percentage": 1}]',
        '[{"name": "x", "averageMs": "1", "percentage": 1}]',
        '[{"name": 3, "averageMs": 1, "percentage": 1}]',
    ],
)
def test_other_profiles_are_refused(text: str) -> None:
    with pytest.raises(DeviceError, match="--exportProfile cannot be read"):
        read_profile(text)


@pytest.mark.parametrize(
    "text",
    ["[]", "{}", '{"Layers": 3}', '{"Layers": [3]}', '{"Layers": [{}]}', '{"Layers": [{"Name": "x", "Inputs": [4]}]}'],
)
def test_other_layers_are_refused(text: str) -> None:
    with pytest.raises(DeviceError, match="--exportLayerInfo cannot be read"):
        read_layers(text)
