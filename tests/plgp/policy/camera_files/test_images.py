"""Depth, colours and masks of every kind: read with the right value, or refused with what to give."""

import contextlib
import io
import sys
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from scipy.io import savemat

from plgp.policy.camera_files import read_depth, read_intrinsics, read_rgb, read_workspace
from sim.errors import InputError

METRES = np.linspace(0.4, 0.6, 48 * 64).reshape(48, 64)


def saved(folder, array, name="a.npy"):
    np.save(folder / name, array)
    return folder / name


@pytest.mark.parametrize(
    "array",
    [
        (METRES * 1000).astype(np.uint16),
        (METRES * 1000).astype(">u2"),
        (METRES * 1000).astype(np.int32),
        METRES.astype(np.float16),
        METRES.astype(">f8"),
        METRES[None],
        METRES[..., None],
    ],
)
def test_numbers_of_every_type(tmp_path, array):
    np.testing.assert_allclose(read_depth(saved(tmp_path, array)), METRES, atol=1.1e-3)


@pytest.mark.parametrize("missing", [65535, np.nan, np.inf, -np.inf, -1])
def test_every_mark_of_missing(tmp_path, missing):
    kind = np.uint16 if missing == 65535 else np.float32
    units = (METRES * (1000 if missing == 65535 else 1)).astype(kind)
    units[:3] = missing
    depth = read_depth(saved(tmp_path, units))
    assert (depth[:3] == 0).all()
    assert (depth[3:] > 0.3).all()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (METRES * 10000, "with depth_scale=0.0001 \\(D405"),
        ((METRES * 10000).astype(np.uint16), "with depth_scale=0.0001 \\(D405.*would be 0.50 m"),
        ((METRES * 5000).astype(np.uint16), "with depth_scale=0.0002 \\(TUM"),
        (METRES * 1000, "with depth_scale=0.001 \\(millimetres"),
        (-METRES, "OpenGL"),
        ((METRES * 255).astype(np.uint8), "8 bits"),
        (np.zeros((48, 64, 3), np.uint8), "in colours"),
        (np.full((48, 64), 1e5), "disparity"),
    ],
)
def test_what_it_looks_like_is_said(tmp_path, array, message):
    if array.dtype == float and array.max() > 4000 and "D405" in message:
        message = "median of 5e\\+03 m"
    with pytest.raises(InputError, match=message):
        read_depth(saved(tmp_path, array))


def test_an_l515_is_warned_of_and_a_given_scale_believed(tmp_path, capsys):
    path = saved(tmp_path, (METRES * 3.8 * 1000).astype(np.uint16))
    read_depth(path)
    assert "with depth_scale=0.00025 (L515) the median would be 0.47 m" in capsys.readouterr().err
    assert np.median(read_depth(path, 0.00025)) == pytest.approx(0.475, abs=1e-3)
    assert np.median(read_depth(path, None, 0.00025)) == pytest.approx(0.475, abs=1e-3)
    assert capsys.readouterr().err == ""
    assert np.median(read_depth(path, 0.01)) == pytest.approx(19, abs=0.1)
    assert "median of 19 m" in capsys.readouterr().err
    for scale in (1e-6, 1.0):  # no camera sees so near, or so far
        with pytest.raises(InputError, match=r"give the metres of one unit$"):
            read_depth(path, scale)


def test_an_array_is_found_by_its_name_among_several(tmp_path):
    depth, rgb = np.full((4, 6), 0.6, np.float32), np.full((4, 6, 3), 9, np.uint8)
    np.savez(tmp_path / "a.npz", Depth=depth, color_image=rgb, K=np.eye(3))
    np.testing.assert_array_equal(read_depth(tmp_path / "a.npz"), depth)
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.npz"), rgb)
    np.savez(tmp_path / "b.npz", depth_left=depth, depth_right=depth)
    with pytest.raises(InputError, match="holds depth_left, depth_right; name the array that is meant 'depth'"):
        read_depth(tmp_path / "b.npz")


def test_files_that_are_pictures_or_not_read(tmp_path):
    Image.fromarray(np.full((48, 64), 9, np.uint8)).convert("P").save(tmp_path / "p.png")
    Image.new("RGBA", (64, 48), "red").save(tmp_path / "rgba.png")
    (tmp_path / "a.hdr").write_bytes(b"#?")
    for name, words in (("p.png", "8 bits"), ("rgba.png", "colours"), ("a.hdr", "HDR")):
        with pytest.raises(InputError, match=words):
            read_depth(tmp_path / name)


class FakeExr:
    """The part of the OpenEXR package that is used, over channels by file name."""

    def __init__(self, channels):
        self.found = channels

    def File(self, path, separate_channels):
        assert separate_channels
        if not self.found:
            raise RuntimeError("Error reading the header")
        return self

    def channels(self):
        return {name: SimpleNamespace(pixels=pixels) for name, pixels in self.found.items()}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None


COLOURS = {name: np.full((48, 64), value, np.float16) for name, value in (("R", 0.1), ("G", 0.2), ("B", 0.3))}

VECTORS = {f"ViewLayer.{layer}.{name}": METRES * 3 for layer in ("Normal", "Position") for name in "XYZ"}
VECTORS |= {f"ViewLayer.UV.{name}": METRES * 3 for name in "UV"}


@pytest.mark.parametrize(
    ("channels", "words"),
    [
        ({"V": METRES}, ""),
        ({"any name": METRES.astype(np.float16)}, ""),
        ({"ViewLayer.Depth.Z": METRES, "ViewLayer.Combined.R": METRES * 2}, ""),
        (COLOURS | {"Depth.V": METRES, "A": METRES}, ""),
        (dict.fromkeys("RGB", METRES) | {"A": np.ones((48, 64))}, ""),
        (VECTORS | COLOURS | {"ViewLayer.Depth.Z": METRES, "ViewLayer.Mist.Z": METRES * 2}, ""),
        (VECTORS | {"Z": METRES, "ViewLayer.Index.Y": METRES * 2}, ""),
        (COLOURS | {"Z": METRES, "U": METRES * 2, "V": METRES * 3, "Index.Y": METRES * 3}, ""),
        (COLOURS | {"A": METRES, "Z": METRES, "X": METRES * 2, "Y": METRES * 3, "Index.Y": METRES * 3}, ""),
        (COLOURS | {"X": METRES * 2, "Y": METRES * 3, "Z": METRES * 3, "depth": METRES}, ""),
        (dict.fromkeys("RGB", METRES) | {"U": METRES * 2, "V": METRES * 3}, ""),
        ({"Z": METRES, "Normal.Z": METRES * 2, "ViewLayer.Denoising Normal.Z": METRES * 2}, ""),
        (COLOURS, r"has the channels R, G, B; write depth as one called Z"),
        (VECTORS | {"ViewLayer.Mist.Z": METRES}, r"UV\.U, ViewLayer\.UV\.V, ViewLayer\.Mist\.Z; write depth as one"),
        ({"Y": METRES, "RY": METRES, "BY": METRES}, r"has the channels Y, RY, BY; write depth"),
        ({"a.Z": METRES, "b.Z": METRES, "V": METRES}, r"several channels of depth, a\.Z, b\.Z; write the one wanted"),
        ({"left.Depth.Z": METRES, "right.Depth.Z": METRES, "Z": METRES}, r"several channels of depth, left\.Depth\.Z"),
        ({}, r"cannot be read \(RuntimeError\)"),
    ],
)
def test_the_depth_of_openexr(tmp_path, monkeypatch, channels, words):
    monkeypatch.setitem(sys.modules, "OpenEXR", FakeExr(channels))
    (tmp_path / "a.exr").write_bytes(b"v/1")
    if words:
        with pytest.raises(InputError, match=words):
            read_depth(tmp_path / "a.exr")
    else:
        np.testing.assert_allclose(read_depth(tmp_path / "a.exr"), METRES, atol=1e-3)


def test_openexrs_own_files_and_what_to_install_without_it(tmp_path, monkeypatch):
    (tmp_path / "a.exr").write_bytes(b"v/1")
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "OpenEXR", None)
        with pytest.raises(InputError, match="is OpenEXR; pip install OpenEXR, which reads it, or convert it to npy"):
            read_depth(tmp_path / "a.exr")
    library = pytest.importorskip("OpenEXR")
    with pytest.raises(InputError, match=r"cannot be read \(\w+\); write it again"):
        read_depth(tmp_path / "a.exr")
    depth = METRES.astype(np.float32)
    depth[:5], depth[5:9] = 1e10, 65504  # where Blender hit nothing
    head = {"compression": library.ZIP_COMPRESSION, "type": library.scanlineimage}
    library.File(head, {"RGB": np.zeros((48, 64, 3), np.float16), "Z": depth}).write(str(tmp_path / "b.exr"))
    read = read_depth(tmp_path / "b.exr")
    assert (read[:9] == 0).all()
    np.testing.assert_allclose(read[9:], METRES[9:], atol=1e-6)


def test_contact_graspnets_frames_in_one_pickled_file(tmp_path):
    rgb, seg = np.full((48, 64, 3), 9, np.uint8), np.zeros((48, 64), np.uint8)
    seg[3:5] = 2
    matrix = np.array([[60.0, 0, 31.5], [0, 60, 23.5], [0, 0, 1]])
    frame = {"rgb": rgb, "depth": METRES.astype(np.float32), "K": matrix, "seg": seg, "label": 3}
    np.save(tmp_path / "0.npy", frame, allow_pickle=True)
    np.savez(tmp_path / "0.npz", **{name: value for name, value in frame.items() if name != "label"})
    for name in ("0.npy", "0.npz"):
        np.testing.assert_allclose(read_depth(tmp_path / name), METRES, atol=1e-6)
        np.testing.assert_array_equal(read_rgb(tmp_path / name), rgb)
        np.testing.assert_array_equal(read_workspace(tmp_path / name, (48, 64)), seg > 0)
        np.testing.assert_allclose(read_intrinsics(tmp_path / name, (48, 64)).intrinsics, matrix)
    np.save(tmp_path / "list.npy", np.array([3, {}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "code.npy", np.array(print, dtype=object), allow_pickle=True)
    for name, words in (("list.npy", "holds a pickled ndarray"), ("code.npy", "asks for builtins.print")):
        for read in (read_depth, lambda path: read_intrinsics(path, (48, 64))):
            with pytest.raises(InputError, match=words):
                read(tmp_path / name)


def test_tables_and_matlabs_files(tmp_path):
    np.savetxt(tmp_path / "a.csv", METRES, delimiter=",")
    (tmp_path / "b.csv").write_text("\r\n".join(";".join(f"{v:.4f}" for v in row) + ";" for row in METRES))
    np.savetxt(tmp_path / "c.txt", METRES)
    savemat(tmp_path / "d.mat", {"depth": (METRES * 1000).astype(np.uint16), "intrinsic_matrix": np.eye(3)})
    for name in ("a.csv", "b.csv", "c.txt", "d.mat"):
        np.testing.assert_allclose(read_depth(tmp_path / name), METRES, atol=1.1e-3)
    for name, text in (("words.csv", "depth\n0.5\n"), ("ragged.csv", "1,2\n3\n"), ("none.mat", "no")):
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match=rf"{name}' cannot be read"):
            read_depth(tmp_path / name)


def test_whole_millimetres_of_files_without_types_count_as_integers_do(tmp_path, capsys):
    """The page promises CSV in millimetres, and MATLAB's numbers are doubles: both were refused as metres."""
    units = np.rint(METRES * 1000)
    units[:2] = np.nan
    np.savetxt(tmp_path / "a.csv", units, delimiter=",")
    units[:2] = -1
    np.savetxt(tmp_path / "b.txt", units, fmt="%d")
    savemat(tmp_path / "c.mat", {"depth": units})
    for name in ("a.csv", "b.txt", "c.mat"):
        depth = read_depth(tmp_path / name)
        assert (depth[:2] == 0).all()
        np.testing.assert_allclose(depth[2:], METRES[2:], atol=1e-3)
        np.testing.assert_allclose(read_depth(tmp_path / name, None, 0.0005), depth / 2, atol=1e-6)
    assert capsys.readouterr().err == ""
    np.savetxt(tmp_path / "ones.csv", np.ones((4, 6)) * [1, 2, 1, 1, 1, 2])  # metres, as long as they may be
    assert read_depth(tmp_path / "ones.csv").max() == 2


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["distance"], "no depth, but 'distance', the distance along each ray; give the depth along the axis"),
        (["distance", "colors"], "no depth, but 'distance', the distance along each ray"),
        (["normals"], "no depth, but 'normals', directions of surfaces"),
        (["left_disparity"], "no depth, but 'left_disparity', a disparity; give metres, focal length times baseline"),
        (["Inverse_Depth"], "no depth, but 'Inverse_Depth', an inverse depth; give metres, 1 over it; name it 'depth'"),
        (["depth_map", "distance"], ""),
        (["Depth", "disparity"], ""),
        (["array"], ""),
    ],
)
def test_an_array_that_is_no_depth_is_refused_by_its_name(tmp_path, names, words):
    np.savez(tmp_path / "a.npz", **dict.fromkeys(names, METRES))
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        for name in names:
            file[name] = METRES
    for name in ("a.npz", "a.hdf5"):
        if words:
            with pytest.raises(InputError, match=words):
                read_depth(tmp_path / name)
        else:
            np.testing.assert_allclose(read_depth(tmp_path / name), METRES, atol=1e-6)


def test_a_mask_as_jpeg_has_no_fringe(tmp_path):
    mask = np.zeros((48, 64), np.uint8)
    mask[10:30, 10:50] = 255
    for name, picture in (("a.jpg", mask), ("b.jpg", np.dstack([mask, 0 * mask, 0 * mask]))):
        Image.fromarray(picture).save(tmp_path / name, quality=60)
        read = read_workspace(tmp_path / name, (48, 64))
        assert (read != (mask > 0)).sum() < (30 if name == "b.jpg" else 5)


def test_blenderprocs_hdf5(tmp_path):
    rgb, seg = np.full((48, 64, 3), 9, np.uint8), np.ones((48, 64), np.int32)
    with h5py.File(tmp_path / "0.hdf5", "w") as file:
        file["depth"], file["colors"], file["instance_segmaps"] = METRES.astype(np.float32), rgb, seg
    np.testing.assert_allclose(read_depth(tmp_path / "0.hdf5"), METRES, atol=1e-6)
    np.testing.assert_array_equal(read_rgb(tmp_path / "0.hdf5"), rgb)
    assert read_workspace(tmp_path / "0.hdf5", (48, 64)).all()
    (tmp_path / "1.h5").write_bytes((tmp_path / "0.hdf5").read_bytes()[:900])
    with pytest.raises(InputError, match=r"1.h5' cannot be read \(it is cut off\); copy it again"):
        read_depth(tmp_path / "1.h5")


def test_blue_first_is_turned_where_it_is_said(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    np.testing.assert_array_equal(read_rgb(saved(tmp_path, rgb[..., ::-1]), bgr=True), rgb)
    np.testing.assert_array_equal(read_rgb(saved(tmp_path, rgb[..., 0]), bgr=True)[..., 1], rgb[..., 0])


def test_colours_of_every_kind(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    for array in (
        rgb,
        rgb / 255,
        rgb.astype(np.uint16) * 257,
        np.moveaxis(rgb, -1, 0),
        rgb[None],
        np.dstack([rgb, rgb]),
    ):
        if array.shape[-1] == 6:
            with pytest.raises(InputError, match="red first"):
                read_rgb(saved(tmp_path, array))
        else:
            np.testing.assert_array_equal(read_rgb(saved(tmp_path, array)), rgb)
    np.testing.assert_array_equal(read_rgb(saved(tmp_path, rgb[..., 0])), np.repeat(rgb[..., :1], 3, axis=-1))


def test_an_orientation_counts_unless_only_the_stored_size_fits(tmp_path):
    image = Image.new("RGB", (64, 48))
    tags = Image.Exif()
    tags[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=tags)
    assert read_rgb(tmp_path / "turned.jpg").shape == (64, 48, 3)
    assert read_rgb(tmp_path / "turned.jpg", (48, 64)).shape == (48, 64, 3)
    assert read_rgb(tmp_path / "turned.jpg", (64, 48)).shape == (64, 48, 3)


def test_masks_of_every_kind(tmp_path):
    allowed = np.zeros((48, 64), bool)
    allowed[10:20] = True
    grey = allowed.astype(np.uint8)
    opaque = np.dstack([np.zeros((48, 64, 3), np.uint8), grey * 255])
    kinds = [allowed, grey, grey * 255, grey * 7.0, np.where(allowed, 3, -1), np.where(allowed, 1.0, np.nan)]
    kinds += [grey[None], grey[..., None], np.dstack([grey] * 3), opaque]
    for kind in kinds:
        np.testing.assert_array_equal(read_workspace(saved(tmp_path, kind), (48, 64)), allowed)
    Image.fromarray(grey).convert("P").save(tmp_path / "p.png")
    np.testing.assert_array_equal(read_workspace(tmp_path / "p.png", (48, 64)), allowed)
    assert not read_workspace(saved(tmp_path, np.zeros((48, 64))), (48, 64)).any()
    with pytest.raises(InputError, match="transposed"):
        read_workspace(saved(tmp_path, grey.T), (48, 64))


def test_boxes_in_millimetres_and_files_that_are_cut_off_are_named(tmp_path):
    for box, says in (("-200,-200,300,200,200,700", "beyond 10 m"), ("-0.2,-0.2,-0.7,0.2,0.2,-0.3", "behind the cam")):
        with pytest.raises(InputError, match=says):
            read_workspace(box, (48, 64))
    path = tmp_path / "whole.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 900, (48, 64)).astype(np.uint16)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"cannot be read \(it is cut off\); copy it again"):
        read_depth(path)


ANY = arrays.arrays(
    arrays.boolean_dtypes() | arrays.integer_dtypes() | arrays.floating_dtypes() | arrays.unicode_string_dtypes(),
    arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(ANY, st.sampled_from([read_depth, lambda p: read_workspace(p, (2, 3)), read_rgb]), st.binary(max_size=9))
def test_any_array_is_read_or_refused_in_one_sentence(tmp_path, array, read, tail):
    stream = io.BytesIO()
    np.save(stream, array)
    (tmp_path / "a.npy").write_bytes(stream.getvalue()[: -len(tail) or None] if len(tail) % 2 else stream.getvalue())
    with contextlib.suppress(InputError):
        assert np.isfinite(read(tmp_path / "a.npy")).all()
