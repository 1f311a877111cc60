"""Materials of COLLADA files: a colour, or a texture."""

from __future__ import annotations

import warnings
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import trimesh
from numpy.typing import NDArray

from sim.objects.reading.xml_tree import numbers

_SHADERS = ("phong", "lambert", "blinn", "constant")


@dataclass(frozen=True)
class Material:
    """What a material looks like.

    Attributes:
        colour: (4,) float64 RGBA in [0, 1]; None where the file gives none.
        image: Texture, a PIL image in RGB; None where the file gives none that can be read.
    """

    colour: NDArray[np.float64] | None = None
    image: Any = None

    def visual(self, uv: NDArray[np.float64] | None = None) -> Any:
        """Returns it as trimesh's TextureVisuals, with (V, 2) texture coordinates of the vertices."""
        visual: Any = trimesh.visual
        colour = None if self.colour is None else np.rint(255 * np.clip(self.colour, 0, 1)).astype(np.uint8)
        material = visual.material.SimpleMaterial(image=self.image, diffuse=colour)
        return visual.TextureVisuals(uv=uv, material=material)


def bound_materials(
    ids: dict[str, ElementTree.Element], binding: ElementTree.Element | None, folder: Path
) -> dict[str | None, Material]:
    """Returns the materials that an instance of a geometry binds, by the symbols of its faces.

    Args:
        ids: The document's elements by their id.
        binding: The <instance_geometry>; None where the file has no scene.
        folder: Folder of the textures.
    """
    found: dict[str | None, Material] = {}
    for bound in () if binding is None else binding.iter("instance_material"):
        material = ids.get((bound.get("target") or "").removeprefix("#"))
        effect = None if material is None else material.find("instance_effect")
        shown = None if effect is None else ids.get((effect.get("url") or "").removeprefix("#"))
        if shown is not None:
            found[bound.get("symbol")] = _look(ids, shown, folder)
    return found


def _look(ids: dict[str, ElementTree.Element], effect: ElementTree.Element, folder: Path) -> Material:
    """Returns the diffuse colour or texture of an <effect>; of a constant shader, what it emits."""
    shader = next((e for e in effect.iter() if e.tag in _SHADERS), None)
    if shader is None:
        return Material()
    shade = shader.find("emission" if shader.tag == "constant" else "diffuse")
    if shade is None:
        return Material()
    texture = shade.find("texture")
    if texture is not None:
        return Material(image=_image(_texture_file(ids, effect, texture.get("texture", "")), folder))
    try:
        colour = numbers(shade.findtext("color"))
    except ValueError:
        return Material()
    usable = len(colour) in (3, 4) and bool(np.isfinite(colour).all())
    return Material(colour=np.append(colour[:3], 1.0) if usable else None)


def _texture_file(ids: dict[str, ElementTree.Element], effect: ElementTree.Element, name: str) -> str:
    """Returns the file that a <texture> names: directly, or through its sampler and surface; "" where it names none."""
    parameters = {e.get("sid"): e for e in effect.iter("newparam")}
    for inner in ("sampler2D/source", "surface/init_from"):
        step = parameters.get(name)
        name = (None if step is None else step.findtext(inner)) or name
    image = ids.get(name.strip().removeprefix("#"))
    if image is None:
        return ""
    return (image.findtext("init_from/ref") or image.findtext("init_from") or "").strip()


def _image(name: str, folder: Path) -> Any:
    """Returns a texture as a PIL image in RGB; None where it is missing or broken."""
    from PIL import Image

    if not name:
        return None
    file = folder / unquote(name.removeprefix("file://")).replace("\\", "/")
    try:
        return Image.open(file).convert("RGB")
    except Exception:  # PIL raises whatever the broken file makes it raise
        warnings.warn(f"texture {file} is missing or broken; its material's colour is used", stacklevel=2)
        return None
