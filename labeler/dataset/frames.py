"""The images of a recipe's scenes, with everything that belongs to them: scene -> views -> labels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from labeler.dataset.recipe import DataSetRecipe
from labeler.labels import label_view
from labeler.shards.frame import Frame
from sim.camera import ParallelCamera, PinholeCamera, random_view_pose
from sim.depth_noise.model import noise_for_camera
from sim.errors import InputError
from sim.render import render_view
from sim.scene import Scene, SceneSettings, SceneState
from sim.worlds import parallel_side

_TRIES = 10  # drops of a scene before it is given up as one that does not come to rest


def make_scene(recipe: DataSetRecipe, scene: int) -> SceneState:
    """Returns scene number ``scene`` at rest, a function of (recipe, number) alone.

    Raises:
        InputError: It did not come to rest with all its objects.
    """
    return _make_scene(recipe, scene, np.random.default_rng([recipe.seed, scene]))


def make_frames(recipe: DataSetRecipe, scene: int) -> Iterator[Frame]:
    """Yields the views of scene number ``scene`` with their labels, a function of (recipe, number) alone.

    Raises:
        InputError: The scene did not come to rest with all its objects.
    """
    rng = np.random.default_rng([recipe.seed, scene])
    state = _make_scene(recipe, scene, rng)
    for number in range(recipe.views):
        camera, parallel = _draw_cameras(recipe, state, rng)
        noise = noise_for_camera(recipe.depth_noise, float(camera.intrinsics[0, 0]))
        # Colours have a generator of their own: whatever they draw, poses and noise stay the same.
        colours = np.random.default_rng(np.random.SeedSequence([recipe.seed, scene], spawn_key=(number,)))
        look = recipe.appearance.draw(colours, len(state.models))
        view = render_view(state, camera, parallel, back_layer=recipe.labels.undercut, appearance=look)
        if view.rgb is None:
            raise ValueError("the renderer gave no RGB image")
        frame: Frame = {
            "rgb": view.rgb,
            "depth": view.depth,
            "depth_noisy": noise(view.depth, rng),
            "instance_mask": view.instance_mask.astype(np.uint8),
            "grasps": label_view(view, recipe.gripper, recipe.labels),
            "intrinsics": camera.intrinsics,
            "pose": camera.pose,
            "objects": view.objects,
            "scene": scene,
            "view": number,
        }
        if recipe.world is not None:
            frame["tray"] = state.tray.to_saved()
        yield frame


def _draw_cameras(
    recipe: DataSetRecipe, state: SceneState, rng: np.random.Generator
) -> tuple[PinholeCamera, ParallelCamera]:
    """Returns the pinhole camera of a view, with its pose, and its parallel camera."""
    if recipe.world is None:
        pose = random_view_pose(rng, recipe.camera_height, recipe.max_offset)
        camera = PinholeCamera(recipe.camera.width, recipe.camera.height, recipe.camera.intrinsics, pose)
        return camera, ParallelCamera.covering(recipe.pixels_per_metre, recipe.parallel_extent)
    camera = recipe.world.draw_camera(rng, recipe.camera, state.tray.floor)
    side = parallel_side(state.models, state.poses, camera)
    return camera, ParallelCamera.covering(recipe.pixels_per_metre, side)


def _draw_place(recipe: DataSetRecipe, scene: int, rng: np.random.Generator) -> tuple[SceneSettings, int]:
    """Returns where a scene is made, and its number of objects."""
    if recipe.world is None:
        return recipe.scene, recipe.object_counts[scene % len(recipe.object_counts)]
    return recipe.world.draw_scene(rng, recipe.scene, len(recipe.objects))


def _make_scene(recipe: DataSetRecipe, scene: int, rng: np.random.Generator) -> SceneState:
    for _ in range(_TRIES):
        settings, count = _draw_place(recipe, scene, rng)
        with Scene(recipe.objects, settings) as world:
            world.drop(count, rng)
            if world.settle() and len(world.models) == count:
                return world.state(f"{recipe.objects.name}-{count}", recipe.seed)
    raise InputError(
        f"scene {scene} (seed {recipe.seed}) never came to rest in the tray; take smaller objects or fewer"
    )
