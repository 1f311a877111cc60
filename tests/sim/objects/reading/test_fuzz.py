"""Mesh files and URDFs with broken bytes: a mesh or one sentence, in little time and memory."""

import io
import re
import struct
import warnings
import zipfile

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import InputError
from sim.objects.mesh_file import clean_mesh, one_mesh
from sim.objects.reading import threemf
from sim.objects.reading.scenes import read_scene
from sim.objects.urdf_copy import usable_urdf

TENT = trimesh.Trimesh(
    [[0, 0, 0], [0.05, 0, 0], [0, 0.04, 0], [0, 0, 0.03]], [[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]]
)
PLACES = " ".join(f"{x:g}" for x in TENT.vertices.ravel())
CORNERS = " ".join(str(i) for i in TENT.faces.ravel())
DAE = f"""<COLLADA version="1.4.1"><asset><unit meter="0.01"/><up_axis>Y_UP</up_axis></asset><library_geometries>
<geometry id="g"><mesh><source id="p"><float_array id="a" count="12">{PLACES}</float_array><technique_common>
<accessor source="#a" count="4" stride="3"/></technique_common></source><vertices id="v"><input semantic="POSITION"
 source="#p"/></vertices><polylist count="4"><input semantic="VERTEX" source="#v" offset="0"/><vcount>3 3 3 3</vcount>
<p>{CORNERS}</p></polylist></mesh></geometry></library_geometries><library_visual_scenes><visual_scene id="s"><node>
<rotate>0 0 1 90</rotate><scale>1 1 -1</scale><instance_geometry url="#g"/></node></visual_scene>
</library_visual_scenes><scene><instance_visual_scene url="#s"/></scene></COLLADA>""".encode()
MODEL = f"""<model unit="inch"><resources><object id="1"><mesh><vertices>{
    "".join('<vertex x="{}" y="{}" z="{}"/>'.format(*p) for p in TENT.vertices)
}</vertices><triangles>{
    "".join('<triangle v1="{}" v2="{}" v3="{}"/>'.format(*f) for f in TENT.faces)
}</triangles></mesh></object><object id="2"><components><component objectid="1" transform="1 0 0 0 1 0 0 0 1 2 0 0"/>
</components></object></resources><build><item objectid="2"/></build></model>""".encode()  # fmt: skip


def zipped(model):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("3D/3dmodel.model", model)
    return file.getvalue()


def exported(ending, **options):
    data = TENT.export(file_type=ending, **options)
    return data if isinstance(data, bytes) else data.encode()


SEEDS = {
    "obj": [
        exported("obj"),
        b"v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0 # c\nvt 0 0\nv 0 0 1\nf -5/1 -4/1 -3/1 -2/1\nf 1//1 2 \\\n 5\n",
    ],
    "stl": [exported("stl"), exported("stl_ascii")],
    "ply": [exported("ply"), exported("ply", encoding="ascii"), exported("ply").replace(b"list uchar", b"list uint")],
    "off": [exported("off"), exported("off").replace(b"OFF", b"COFF")],
    "glb": [exported("glb")],
    "dae": [DAE],
    "3mf": [zipped(MODEL)],
}
LIES = [b"4000000000", b"0", b"-1", b"1e400", b"nan", b"99999999999999999999"]


@st.composite
def broken(draw, seeds):
    """One of the files with bytes flipped, cut, put in or doubled, or with a number that lies."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        kind = draw(st.integers(0, 6))
        if kind == 0 and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            data[at:at] = draw(st.binary(min_size=1, max_size=8))
        elif kind == 3:
            del data[at : at + draw(st.integers(1, 40))]
        elif kind == 4:
            data[at : at + 4] = struct.pack(
                "<I", draw(st.sampled_from([0, 2**31 - 1, 2**31, 2**32 - 1, 4_000_000_000]))
            )
        elif kind == 5:
            data[at:at] = data[at : at + 60]
        else:
            numbers = list(re.finditer(rb"\d+", bytes(data)))
            if numbers:
                number = draw(st.sampled_from(numbers))
                data[number.start() : number.end()] = draw(st.sampled_from(LIES))
    return bytes(data)


@pytest.mark.parametrize("ending", SEEDS)
def test_a_broken_mesh_file_is_read_or_named(tmp_path, ending):
    path = tmp_path / f"a.{ending}"

    @settings(max_examples=200, deadline=None)
    @given(broken(SEEDS[ending]))
    def check(data):
        path.write_bytes(data)
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                mesh = one_mesh(read_scene(path).scene)
        except InputError as error:
            said = str(error)
        else:
            said = ""
        if said:
            assert said.startswith(f"mesh {path} ")
            assert "\n" not in said
            return
        assert len(mesh.vertices) <= 100 + len(data)  # nothing is allocated that is not there
        assert np.isfinite(mesh.vertices).all()
        try:
            solid = clean_mesh(mesh).solid
        except InputError:
            return
        assert np.isfinite(solid.volume)

    check()


CLAIMS = {
    "a.stl": b" " * 80 + struct.pack("<I", 4_000_000_000) + bytes(120),
    "a.ply": exported("ply").replace(b"element vertex 4", b"element vertex 4000000000"),
    "b.ply": exported("ply").replace(b"element face 4", b"element face 4000000000"),
    "a.off": b"OFF\n4000000000 4000000000 0\n0 0 0\n",
    "a.dae": re.sub(rb"<vcount>3 3", b"<vcount>4000000000 3", DAE),
    "a.glb": exported("glb")
    .replace(b'"count":12', b'"count":4000000000')
    .replace(b'"count":4,', b'"count":4000000000,'),
    "a.3mf": zipped(MODEL.replace(b'v1="0"', b'v1="4000000000"')),
    "a.obj": exported("obj") + b"f 1 2 4000000000\n",
}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_file_that_claims_four_thousand_million_of_something_is_named_at_once(tmp_path, name):
    (tmp_path / name).write_bytes(CLAIMS[name])
    with pytest.raises(InputError, match=r"export it again|cut off or broken"):
        read_scene(tmp_path / name)


def nested(count):
    """A COLLADA file of nodes that each place the next ten times: 10 to the power of ``count`` geometries."""
    nodes = "".join(f'<node id="n{i}">{f"""<instance_node url="#n{i + 1}"/>""" * 10}</node>' for i in range(count))
    nodes += f'<node id="n{count}"><instance_geometry url="#g"/></node>'
    many = DAE.replace(b'<instance_geometry url="#g"/></node></visual', b'<instance_node url="#n0"/></node></visual')
    return many.replace(
        b"</library_geometries>", f"</library_geometries><library_nodes>{nodes}</library_nodes>".encode()
    )


def bomb(megabytes):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("3D/3dmodel.model", bytes(megabytes * 2**20))
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.dae", nested(9), "places more than"),
        ("b.dae", DAE.replace(b"<node>", b'<node id="n"><instance_node url="#n"/>'), "too deep"),
        ("c.dae", b'<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]>' + DAE, "entities"),
        ("d.3mf", bomb(2), "larger than 1 MB"),
        ("e.3mf", zipped(MODEL.replace(b'objectid="1"', b'objectid="2"')), "too deep"),
        ("f.obj", b"v 0 0 0\n" + b"#" * 3_000_000 + b"\nf" + b" 1" * 100_000 + b"\n", ""),
    ],
)  # fmt: skip
def test_files_that_grow_without_bounds_are_named(tmp_path, monkeypatch, name, data, reason):
    monkeypatch.setattr(threemf, "_LARGEST", 2**20)
    (tmp_path / name).write_bytes(data)
    if not reason:
        assert len(one_mesh(read_scene(tmp_path / name).scene).faces) == 99_998
        return
    with pytest.raises(InputError, match=reason):
        read_scene(tmp_path / name)


URDF = b"""<?xml version="1.0"?><robot name="r"><material name="m"><color rgba="1 0 0 1"/></material><link name="a">
<inertial><origin xyz="0 0 0.1" rpy="0 0 1"/><mass value="0.1"/><inertia ixx="1" iyy="1" izz="1"/></inertial>
<visual><origin xyz="1 2 3"/><geometry><mesh filename="a.obj" scale="1 1 1"/></geometry><material name="m"/></visual>
<collision><geometry><box size="1 1 1"/></geometry></collision></link><link name="b"><visual><geometry>
<cylinder radius="0.1" length="0.2"/></geometry></visual></link><joint name="j" type="fixed"><parent link="a"/>
<child link="b"/><origin xyz="0 0 1" rpy="0 1 0"/></joint></robot>"""


def test_a_broken_urdf_is_read_or_named(tmp_path):
    (tmp_path / "a.obj").write_bytes(exported("obj"))
    path = tmp_path / "a.urdf"

    @settings(max_examples=200, deadline=None)
    @given(broken([URDF]))
    def check(data):
        path.write_bytes(data)
        try:
            usable = usable_urdf(path, tmp_path / "cache")
        except InputError as error:
            said = str(error)
        else:
            said = ""
        assert "\n" not in said
        assert said or usable.is_file()

    check()
