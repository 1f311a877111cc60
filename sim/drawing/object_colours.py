"""Colours of a scene's objects in films and 3-D pages: their own, or one each where they have none."""

from __future__ import annotations

import numpy as np

from sim.scene import SceneState

Colour = tuple[float, float, float]

# Light and saturated, so that shading shows and none looks like the tray or the hand (ColorBrewer's Set1 and Set3).
_PALETTE = (
    "#4e9ad6",
    "#e3605e",
    "#63b75f",
    "#a974b4",
    "#e6c94a",
    "#5fc7bd",
    "#e58cc0",
    "#9a7356",
    "#8f8fe0",
    "#a8cc5c",
)


def object_colours(state: SceneState) -> list[Colour]:
    """Returns a colour for each object: its own, or one of a palette where it is grey, as a bare mesh is.

    Objects of several colours or with a texture keep theirs: for them the returned colour is that of a face.

    Args:
        state: The scene.

    Returns:
        RGB in [0, 1], in the order of the scene's objects.
    """
    colours: list[Colour] = []
    for number, model in enumerate(state.models):
        mesh = model.mesh()
        red, green, blue = (float(x) for x in mesh.colours[0])
        if mesh.is_plain and np.ptp([red, green, blue]) < 0.02:  # no hue
            code = _PALETTE[number % len(_PALETTE)]
            red, green, blue = (int(code[i : i + 2], 16) / 255 for i in (1, 3, 5))
        colours.append((red, green, blue))
    return colours
