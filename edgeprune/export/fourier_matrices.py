"""Discrete Fourier transforms as matrices, by which the ONNX operators DFT and STFT become products."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def fourier_matrix(length: int, parts: int, *, onesided: bool = False, inverse: bool = False) -> Matrix:
    """Return the matrix of a transform of ``length`` numbers.

    Args:
        length: Number of elements that are transformed.
        parts: 1 for real numbers, 2 for the real and imaginary parts of complex ones.
        onesided: Whether only the frequencies up to the half of ``length`` are computed.
        inverse: Whether the inverse transform is returned.

    Returns:
        Matrix (length, parts, frequencies, 2); the last dimension is the real and the imaginary part of the result.
    """
    frequencies = length // 2 + 1 if onesided else length
    angles: NDArray[Any] = 2 * np.pi / length * (np.outer(np.arange(length), np.arange(frequencies)) % length)
    if inverse:
        angles = -angles
    cos, sin = np.cos(angles), np.sin(angles)
    of_real, of_imaginary = np.stack([cos, -sin], -1), np.stack([sin, cos], -1)
    matrix: Matrix = np.stack([of_real, of_imaginary][:parts], 1)
    return matrix / length if inverse else matrix


def matrix_to_real(length: int) -> Matrix:
    """Return the inverse transform of the first half of a symmetric spectrum to ``length`` real numbers.

    Returns:
        Matrix (frequencies, 2, length, 1); the second dimension is the real and the imaginary part of the spectrum.
    """
    frequencies = np.arange(length // 2 + 1)
    angles = 2 * np.pi / length * (np.outer(frequencies, np.arange(length)) % length)
    weights = np.where((frequencies == 0) | (2 * frequencies == length), 1, 2)[:, None] / length
    matrix: Matrix = np.stack([weights * np.cos(angles), -weights * np.sin(angles)], 1)[..., None]
    return matrix
