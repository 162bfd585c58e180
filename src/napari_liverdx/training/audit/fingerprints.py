"""Fingerprints of pictures, by which copies are found among very many."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

from napari_liverdx._ids import canonical_json

__all__ = ["Fingerprints", "NearPair", "fingerprint", "near_pairs", "turned"]

S = TypeVar("S", bound=np.generic)

SIDE = 32
"""Side of the small gray picture that is kept of each."""

HASH_DISTANCE = 8
CORRELATION = 0.96
"""Bits by which the hashes of near-identical pictures may differ, and the least correlation of
their small pictures; docs/data.md shows the measurements that set them."""

FLAT = 3.0
"""Gray levels (standard deviation of the small picture) below which a picture shows nothing."""

MAX_PAIRS = 200_000

BLOCK = 2048
"""Pictures compared at once; memory grows with its square."""

_FREQUENCIES = 8


@dataclass(frozen=True, slots=True, eq=False)
class Fingerprints:
    """What is kept of n pictures.

    Attributes
    ----------
    digests : ndarray of bytes, shape (n,)
        Of the pixels; equal for identical pictures.
    small : ndarray of uint8, shape (n, 32, 32)
        The picture in gray, squeezed to a square.
    sizes : ndarray of int, shape (n, 2)
        Width and height in pixels.
    colors : ndarray of float64, shape (n, 6)
        Mean and standard deviation of red, green and blue.
    """

    digests: NDArray[np.bytes_]
    small: NDArray[np.uint8]
    sizes: NDArray[np.intp]
    colors: NDArray[np.float64]

    @property
    def flat(self) -> NDArray[np.bool_]:
        """Pictures without content, such as glass: shape (n,)."""
        return np.asarray(self.small.std(axis=(1, 2)) < FLAT)


@dataclass(frozen=True, slots=True)
class NearPair:
    """Two pictures that look alike.

    Attributes
    ----------
    first, second : int
        Indices.
    distance : int
        Bits by which their hashes differ.
    correlation : float
        Of their small pictures, turned upon each other.
    """

    first: int
    second: int
    distance: int
    correlation: float


def fingerprint(
    picture: NDArray[np.uint8],
) -> tuple[bytes, NDArray[np.uint8], tuple[int, int], NDArray[np.float64]]:
    """Compute digest, small gray picture, size and colors of one picture; see `Fingerprints`.

    Parameters
    ----------
    picture : ndarray of uint8, shape (h, w, 3)
        RGB.
    """
    height, width = picture.shape[:2]
    digest = hashlib.blake2b(np.ascontiguousarray(picture).tobytes(), digest_size=16)
    digest.update(canonical_json(picture.shape).encode())
    gray = Image.fromarray(picture).convert("L")
    small = np.asarray(gray.resize((SIDE, SIDE), Image.Resampling.BOX))
    flat = picture.reshape(-1, 3)
    colors = np.concatenate([flat.mean(axis=0), flat.std(axis=0)])
    # numpy cuts zero bytes off the end of fixed-width bytes, hexadecimal digits have none.
    return digest.hexdigest().encode(), small, (width, height), colors


def turned(grids: NDArray[S], way: int) -> NDArray[S]:
    """Turn square grids (..., k, k) in one of the eight ways to turn and flip a square."""
    if way & 4:
        grids = grids.swapaxes(-1, -2)
    if way & 1:
        grids = grids[..., ::-1]
    if way & 2:
        grids = grids[..., ::-1, :]
    return grids


def perceptual_hashes(small: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Compute 64-bit hashes of the small pictures in all eight ways to turn and flip them.

    Signs of the lowest 8 × 8 frequencies of the cosine transform, after the pHash of Zauner (2010,
    "Implementation and benchmarking of perceptual image hash functions"), but cut at zero and not
    at the median: then a flip changes known signs and a turn transposes, so that all eight hashes
    come of one transform. The constant term says nothing and its bit stays 0.

    Returns
    -------
    ndarray of uint64, shape (8, n)
    """
    waves = dctn(small.astype(np.float32), axes=(1, 2), norm="ortho")
    waves = waves[:, :_FREQUENCIES, :_FREQUENCIES]
    odd = np.where(np.arange(_FREQUENCIES) % 2, -1, 1)
    weights = np.uint64(1) << np.arange(_FREQUENCIES**2, dtype=np.uint64)
    weights[0] = 0
    hashes = []
    for way in range(8):
        changed = waves.swapaxes(1, 2) if way & 4 else waves
        changed = changed * odd if way & 1 else changed
        changed = changed * odd[:, None] if way & 2 else changed
        bits = (changed > 0).reshape(len(small), -1)
        hashes.append((bits * weights).sum(axis=1, dtype=np.uint64))
    return np.stack(hashes)


def near_pairs(
    prints: Fingerprints,
    *,
    distance: int = HASH_DISTANCE,
    correlation: float = CORRELATION,
) -> Iterator[float | NearPair]:
    """Find pictures that look alike, also turned, flipped, scaled or compressed again.

    Hashes are compared in blocks, eight ways each; what is close is confirmed by the correlation
    of the small pictures. Flat pictures have no hash worth comparing and are left out, and of
    identical pictures only the first is compared.

    Yields
    ------
    float
        Share of the work that is done.
    NearPair
        Each pair once; at most `MAX_PAIRS`.
    """
    _, first = np.unique(prints.digests, return_index=True)
    kept = np.sort(first[~prints.flat[first]])
    hashes = perceptual_hashes(prints.small[kept])
    vectors = prints.small[kept].astype(np.float32).reshape(len(kept), -1)
    vectors -= vectors.mean(axis=1, keepdims=True)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    starts = range(0, len(kept), BLOCK)
    left, total = MAX_PAIRS, len(starts) * (len(starts) + 1) / 2
    done = 0
    for top in starts:
        for start in range(top, len(kept), BLOCK):
            for pair in _block_pairs(hashes, vectors, top, start, distance, correlation):
                yield NearPair(
                    int(kept[pair.first]), int(kept[pair.second]), pair.distance, pair.correlation
                )
                left -= 1
                if not left:
                    return
            done += 1
            yield done / total


def _block_pairs(
    hashes: NDArray[np.uint64],
    vectors: NDArray[np.float32],
    top: int,
    start: int,
    distance: int,
    correlation: float,
) -> list[NearPair]:
    rows, cols = hashes[0, top : top + BLOCK], hashes[:, start : start + BLOCK]
    best: dict[tuple[int, int], NearPair] = {}
    for way in range(8):
        bits = np.bitwise_count(rows[:, None] ^ cols[way][None, :])
        i, j = np.nonzero(bits <= distance)
        i, j, bits = i + top, j + start, bits[i, j]
        upper = i < j
        i, j, bits = i[upper], j[upper], bits[upper]
        for at in range(0, len(i), BLOCK):
            part = slice(at, at + BLOCK)
            other = turned(vectors[j[part]].reshape(-1, SIDE, SIDE), way).reshape(-1, SIDE * SIDE)
            alike = np.einsum("ij,ij->i", vectors[i[part]], other)
            for k in np.flatnonzero(alike >= correlation):
                key = int(i[part][k]), int(j[part][k])
                found = NearPair(*key, int(bits[part][k]), round(float(alike[k]), 4))
                if key not in best or best[key].correlation < found.correlation:
                    best[key] = found
    return [best[key] for key in sorted(best)]
