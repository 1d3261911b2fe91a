"""What functions of the package take."""
from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Union

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image

    from ._picture import Picture

Text = Union[str, "os.PathLike[str]"]
"""A text, or the path of a file or folder where one is meant."""

ImageLike = Union["Picture", Text, "PIL.Image.Image", "np.ndarray[Any, Any]"]
"""A picture: Sumi's, the path of a file, Pillow's, or an array as Picture.from_numpy() takes it."""
