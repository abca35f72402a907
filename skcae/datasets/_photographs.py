"""The photographs behind bg-img, bg-img-rot and rect-img."""

import hashlib
import io
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skcae.datasets._images import INSTALL, import_pillow, luma

__all__ = ["PHOTOGRAPHS", "Photographs", "load_photographs"]


class Photograph(NamedTuple):
    """A file in an installed package, and the sha256 of its bytes."""

    distribution: str
    package: str
    path: str
    sha256: str


#: All that scikit-learn, scikit-image and matplotlib bring along, but one of the two
#: views of the motorcycle, and without drawings, text and pictures of other signals.
PHOTOGRAPHS = (
    Photograph(
        "scikit-learn",
        "sklearn",
        "datasets/images/china.jpg",
        "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
    ),
    Photograph(
        "scikit-learn",
        "sklearn",
        "datasets/images/flower.jpg",
        "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
    ),
    Photograph(
        "matplotlib",
        "matplotlib",
        "mpl-data/sample_data/grace_hopper.jpg",
        "a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130",
    ),
    Photograph(
        "scikit-image",
        "skimage",
        "data/astronaut.png",
        "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    ),
    Photograph(
        "scikit-image",
        "skimage",
        "data/brick.png",
        "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf",
    ),
    Photograph(
        "scikit-image",
        "skimage",
        "data/camera.png",
        "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a",
    ),
    Photograph(
        "scikit-image",
        "skimage",
        "data/chelsea.png",
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    ),
    Photograph(
        "scikit-image",
        "skimage",
        "data/clock_motion.png",
        "f029226b28b642e80113d86622e9b215ee067a0966feaf5e60604a1e05733955",
    ),
    Photograph(
        "scikit-image",
        "skimage",
        "data/coffee.png",
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    ),
    Photograph(
        "scikit-image",
        "skimage",
        "data/coins.png",
        "f8d773fc9cfa6f4d8e5942dc34d0a0788fcaed2a4fefbbed0aef5398d7ef4cba",
    ),
    Photograph(
        "scikit-image",
        "skimage",
        "data/grass.png",
        "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89",
    ),
    Photograph(
        "scikit-image",
        "skimage",
        "data/gravel.png",
        "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12",
    ),
    Photograph(
        "scikit-image",
        "skimage",
        "data/hubble_deep_field.jpg",
        "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
    ),
    Photograph(
        "scikit-image",
        "skimage",
        "data/ihc.png",
        "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef",
    ),
    Photograph(
        "scikit-image",
        "skimage",
        "data/moon.png",
        "78739619d11f7eb9c165bb5d2efd4772cee557812ec847532dbb1d92ef71f577",
    ),
    Photograph(
        "scikit-image",
        "skimage",
        "data/motorcycle_left.png",
        "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
    ),
    Photograph(
        "scikit-image",
        "skimage",
        "data/retina.jpg",
        "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6",
    ),
    Photograph(
        "scikit-image",
        "skimage",
        "data/rocket.jpg",
        "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
    ),
)


@dataclass(frozen=True)
class Photographs:
    """Grey images of several sizes in one array, so that patches are one look-up.

    Image k is ``pixels[starts[k] :][: heights[k] * widths[k]]``, row by row.
    """

    pixels: NDArray[np.uint8]
    starts: NDArray[np.int64]
    heights: NDArray[np.int64]
    widths: NDArray[np.int64]

    @property
    def checksum(self) -> str:
        """The sha256 of sizes and pixels: what the patches depend on."""
        digest = hashlib.sha256()
        for array in (self.heights, self.widths, self.pixels):
            digest.update(array.tobytes())
        return digest.hexdigest()


# ---- reading --------------------------------------------------------------------


def load_photographs() -> Photographs:
    """Read all photographs from the installed packages as luma.

    Raises
    ------
    FileNotFoundError
        If a package or its file is not there.
    ImportError
        If Pillow is not installed.
    ValueError
        If a file is not the one whose checksum is listed.
    """
    return pack([decode(read_file(photograph)) for photograph in PHOTOGRAPHS])


def pack(images: list[NDArray[np.uint8]]) -> Photographs:
    """Put grey images (height, width) behind one another."""
    heights, widths = np.array([image.shape for image in images], dtype=np.int64).T
    return Photographs(
        pixels=np.concatenate([image.ravel() for image in images]),
        starts=np.cumsum(heights * widths) - heights * widths,
        heights=heights,
        widths=widths,
    )


def read_file(photograph: Photograph) -> bytes:
    """Read a file of an installed package and check that it is the one listed."""
    distribution, package, name, expected = photograph
    # Finding the package does not import it, which would take longer than the rest.
    spec = find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    path = Path(folders[0], name) if folders else None
    if path is None or not path.is_file():
        raise FileNotFoundError(
            f"the photograph {package}/{name}, a part of {distribution}, is missing; "
            f"install it with {INSTALL}"
        )
    data = path.read_bytes()
    received = hashlib.sha256(data).hexdigest()
    if received != expected:
        raise ValueError(
            f"{path}, a part of {distribution}, is not the photograph that the sets "
            f"are made of: its sha256 is {received}, not {expected}; install "
            f"{distribution} anew with {INSTALL}"
        )
    return data


def decode(data: bytes) -> NDArray[np.uint8]:
    """Decode an image file to luma (height, width)."""
    with import_pillow().open(io.BytesIO(data)) as image:
        if image.mode == "L":
            return np.array(image)
        return luma(np.asarray(image.convert("RGB")))
