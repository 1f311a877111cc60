"""Label speed on the authors' 15-object scene, beside their 453 CPU seconds."""

import time
from pathlib import Path

import numpy as np
import pytest

from labeler.labels import label_view
from sim.camera import ParallelCamera, PinholeCamera
from sim.view import SceneView

SCENE = Path(__file__).resolve().parents[3] / "shared" / "peer" / "scene3.npz"
AUTHORS_CPU_SECONDS = 453.0


def authors_view(step):
    """The scene from its arrays alone; ``step`` 2 takes every second pixel: 2,500 px/m."""
    if not SCENE.is_file():
        pytest.skip("needs ../shared/peer/scene3.npz beside the repository")
    content = np.load(SCENE)
    mask, parallel_mask = (np.where(content[k] < 3, 0, content[k]).astype(np.uint8) for k in ("mask", "parallel_mask"))
    depth = np.ascontiguousarray(content["parallel_depth"][::step, ::step])
    parallel_mask = np.ascontiguousarray(parallel_mask[::step, ::step])
    camera, parallel = PinholeCamera(640, 480, content["K"]), ParallelCamera(5000 / step, *depth.shape)
    return SceneView(content["camera_depth"], mask, camera, depth, parallel_mask, parallel)


@pytest.mark.parametrize(("step", "target"), [(1, 1.2), (2, 0.5)], ids=["5000px_per_m", "2500px_per_m"])
def test_label_speed(benchmark, step, target):
    view = authors_view(step)
    label_view(view)
    start = time.process_time()
    label_view(view)
    cpu = time.process_time() - start
    labels = benchmark(label_view, view)
    benchmark.extra_info.update(
        {
            "target_s": target,
            "labels": len(labels),
            "object_pixels": int((view.instance_mask > 0).sum()),
            "cpu_s": cpu,
            "authors_cpu_s_over_ours": AUTHORS_CPU_SECONDS / cpu,
        }
    )
    assert len(labels) > 1000
