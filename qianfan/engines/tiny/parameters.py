"""Numbers with names that all lie in one flat array, so that an update moves all of them at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.floating[Any]]
Tokens: TypeAlias = npt.NDArray[np.integer[Any]]
Shapes: TypeAlias = Mapping[str, tuple[int, ...]]

Weights: TypeAlias = Mapping[str, Array]
"""What a model computes with, by name."""


class Parameters(Mapping[str, Array]):
    """flat: all numbers. By its name, an array is a view of its part of them: write into it, and `flat` changes."""

    def __init__(self, shapes: Shapes, dtype: npt.DTypeLike = np.float32) -> None:
        self.shapes = dict(shapes)
        self.flat: Array = np.zeros(sum(map(prod, self.shapes.values())), dtype)
        self._views: dict[str, Array] = {}
        start = 0
        for name, shape in self.shapes.items():
            self._views[name] = self.flat[start : start + prod(shape)].reshape(shape)
            start += prod(shape)

    @classmethod
    def of(cls, arrays: Weights) -> Parameters:
        """A copy of these arrays."""
        parameters = cls({name: array.shape for name, array in arrays.items()}, next(iter(arrays.values())).dtype)
        for name, array in arrays.items():
            parameters[name][...] = array
        return parameters

    def like(self) -> Parameters:
        """As many zeros under the same names."""
        return Parameters(self.shapes, self.flat.dtype)

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)
