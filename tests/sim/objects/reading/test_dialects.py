"""Two bricks in every dialect of every format: their volume, size, centre and number, in closed form."""

import base64
import gzip
import io
import json
import struct
import warnings
import zipfile

import numpy as np
import pytest
import trimesh

from sim.errors import InputError
from sim.objects import ObjectSet
from sim.objects.mesh_file import clean_mesh, one_mesh, read_mesh
from sim.objects.reading.scenes import read_scene
from sim.physics import PhysicsSettings, TraySettings, World, pybullet

# Lowest corner and sides of each brick, metres; no symmetry hides an axis, a sign or a unit.
BRICKS = (((0.1, 0.2, 0.3), (0.03, 0.04, 0.06)), ((0.15, 0.2, 0.3), (0.02, 0.02, 0.02)))
VOLUME = 72e-6 + 8e-6
AREA = 2 * (3 * 4 + 3 * 6 + 4 * 6) * 1e-4 + 6 * 4e-4
LOW, HIGH = (0.1, 0.2, 0.3), (0.17, 0.24, 0.36)
CENTRE = np.average([(0.115, 0.22, 0.33), (0.16, 0.21, 0.31)], axis=0, weights=(72, 8))

CORNERS = np.array([np.add(low, np.multiply(side, step)) for low, side in BRICKS for step in np.ndindex(2, 2, 2)])
QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
QUADS += [tuple(i + 8 for i in quad) for quad in QUADS]
FACES = np.array([face for a, b, c, d in QUADS for face in ((a, b, c), (a, c, d))])
TRIPLES = FACES.tolist()
PAIR = trimesh.Trimesh(CORNERS, FACES, process=False)


def row(numbers, form="{:.6g}"):
    return " ".join(form.format(n) for n in numbers)


def obj(corner="{0}", *, quads=True, tail="", back=False, weight=None):
    """An OBJ of two objects, each with its vertices first; ``back`` counts them from the end."""
    lines = []
    for i in (0, 1):
        lines += [f"o brick {i}"]
        for place in CORNERS[8 * i : 8 * i + 8]:
            extra = "" if weight is None else f" {weight}"
            lines.append(f"v {row(place * (weight or 1))}{extra}{tail}")
        for face in QUADS[6 * i : 6 * i + 6] if quads else FACES[12 * i : 12 * i + 12]:
            lines.append("f " + " ".join(corner.format(v - 8 * i - 8 if back else v + 1) for v in face) + tail)
    return "\n".join(lines) + "\n"


def each(text, word, change):
    return "\n".join(change(line) if line.startswith(word) else line for line in text.split("\n"))


def exponents(line):
    return "v " + row(map(float, line.split()[1:]), "{:e}")


OBJ = {
    "triangles": obj(quads=False),
    "quads": obj(),
    "counting back": obj(back=True),
    "counting back with normals": "vn 0 0 1\n" + obj("{0}//-1", back=True),
    "v//vn": "vn 0 0 1\n" + obj("{0}//1"),
    "v/vt": "vt 0 0\n" + obj("{0}/1"),
    "v/": obj("{0}/"),
    "v//": obj("{0}//"),
    "mixed corners": "vt 0 0\nvn 0 0 1\n" + obj("{0}/1/1")[: obj("{0}/1/1").index("o brick 1")] + "o x\n"
    + "\n".join(obj().split("\n")[16:]),
    "CRLF": obj().replace("\n", "\r\n"),
    "old Mac": obj().replace("\n", "\r"),
    "byte order mark": b"\xef\xbb\xbf" + obj().encode()[obj().index("v") :],
    "UTF-16": obj().encode("utf-16"),
    "Latin-1 comment": "# gr\xfcn\n".encode("latin-1") + obj().encode(),
    "tabs": obj().replace(" ", "\t"),
    "indented": "\n".join("   " + line.replace(" ", "   ") for line in obj().split("\n")),
    "comments behind data": "# made by hand\n" + obj(tail=" # here"),
    "continued lines": each(obj(), "f", lambda line: line.replace(" ", " \\\n  ", 2)),
    "continued lines, CRLF": each(obj(), "f", lambda line: line.replace(" ", " \\\n", 1)).replace("\n", "\r\n"),
    "vertex colours": each(obj(), "v", lambda line: line + " 0.5 0.25 1"),
    "weights of one": obj(weight=1),
    "weights": obj(weight=2),
    "exponents": each(obj(), "v", lambda line: exponents(line)),
    "Fortran's exponents": each(obj(), "v", lambda line: exponents(line).replace("e", "D")),
    "fo": each(obj(), "f", lambda line: line.replace("f", "fo")),
    "capitals": obj().replace("v ", "V ").replace("f ", "F "),
    "groups": each(obj(), "f", lambda line: f"g of {line[-1]}\ns off\n{line}"),
    "no material file": "mtllib none.mtl\n" + each(obj(), "o", lambda line: "usemtl a" + line[-1]),
    "nameless materials": "mtllib\nusemtl\n" + obj(),
    "lines and points": obj() + "l 1 2\np 3\n",
    "faces first": "\n".join(sorted(obj().split("\n"), key=lambda line: line[:1] == "v")),
    "stray vertices": "v nan 0 0\nv 9 9 9\n" + each(
        obj(), "f", lambda line: "f " + " ".join(str(int(v) + 2) for v in line.split()[1:])
    ),
    "upper-case ending": obj(),
}  # fmt: skip


def stl_ascii(mesh=PAIR, name="bricks"):
    facets = "".join(
        f"facet normal {row(n)}\n outer loop\n" + "".join(f"  vertex {row(p)}\n" for p in t) + " endloop\nendfacet\n"
        for n, t in zip(mesh.face_normals, mesh.triangles, strict=True)
    )
    return f"solid {name}\n{facets}endsolid {name}\n"


def stl(triangles=PAIR.triangles, head=b"made by hand", count=None, tail=b""):
    record = np.zeros(len(triangles), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    record["corners"] = triangles
    number = len(triangles) if count is None else count
    return head.ljust(80) + struct.pack("<I", number) + record.tobytes() + tail


TRIANGLES = np.asarray(PAIR.triangles)
FIRST, SECOND = (trimesh.Trimesh(CORNERS[8 * i : 8 * i + 8], FACES[:12], process=False) for i in (0, 1))
STL = {
    "binary": stl(),
    "binary that begins with solid": stl(head=b"solid made by a CAD"),
    "no count": stl(count=0),
    "too large a count": stl(count=4_000_000_000),
    "too large a count, solid": stl(head=b"solid", count=4_000_000_000),
    "too small a count": stl(count=12),
    "two binary solids": stl(TRIANGLES[:12]) + stl(TRIANGLES[12:]),
    "padding": stl(tail=b"\0" * 7),
    "ASCII": stl_ascii(),
    "ASCII of two solids": stl_ascii(FIRST) + stl_ascii(SECOND),
    "ASCII in capitals": stl_ascii().upper(),
    "ASCII, CRLF": stl_ascii().replace("\n", "\r\n"),
    "ASCII with a byte order mark": b"\xef\xbb\xbf" + stl_ascii().encode(),
    "ASCII on one line": stl_ascii().replace("\n", " "),
    "ASCII without an end": stl_ascii()[: -len("endsolid bricks\n")],
    "ASCII named by its own words": stl_ascii(name="endsolid vertex 1 facet"),
    "inside out": stl(TRIANGLES[:, ::-1]),
    "one brick inside out": stl(np.concatenate([TRIANGLES[:12, ::-1], TRIANGLES[12:]])),
    "wound at random": stl(np.where((np.arange(24) % 3 == 0)[:, None, None], TRIANGLES[:, ::-1], TRIANGLES)),
    "a face that is no number": stl(np.concatenate([TRIANGLES, np.full((1, 3, 3), np.nan)])),
    "an infinite face": stl(np.concatenate([TRIANGLES, np.full((2, 3, 3), np.inf)])),
    "faces without area": stl(np.concatenate([TRIANGLES, np.tile(CORNERS[:4, None], (1, 3, 1))])),
    "every face twice": stl(np.concatenate([TRIANGLES, TRIANGLES])),
    "every face from both sides": stl(np.concatenate([TRIANGLES, TRIANGLES[:, ::-1]])),
    "a face missing": stl(np.delete(TRIANGLES, 13, axis=0)),
    "rounding": stl(TRIANGLES * (1 + np.random.default_rng(0).uniform(-2e-7, 2e-7, TRIANGLES.shape))),
}  # fmt: skip


def ply(
    kind="ascii",
    *,
    place="float",
    extra=False,
    lists="uchar int",
    polygons=TRIPLES,
    name="vertex_indices",
    faces=None,
):
    """A PLY; ``extra`` puts properties before and behind those that matter, ``faces`` is the count that it claims."""
    head = ["ply", f"format {kind} 1.0", "comment made by hand", "obj_info nothing", f"element vertex {len(CORNERS)}"]
    head += ["property uchar flag"] * extra + [f"property {place} {axis}" for axis in "xyz"]
    head += ["property float nx", "property uchar red", "property uchar green", "property uchar blue"] * extra
    head += [f"element face {len(polygons) if faces is None else faces}", f"property list {lists} {name}"]
    head += ["property uchar red", "property uchar green", "property uchar blue"] * extra + ["end_header\n"]
    text = "\n".join(head)
    if kind == "ascii":
        rows = ["7 " * extra + row(place) + " 0 10 20 30" * extra for place in CORNERS]
        rows += [row([len(p), *p]) + " 1 2 3" * extra for p in polygons]
        return text + "\n".join(rows) + "\n"
    end = ">" if "big" in kind else "<"
    codes = {"float": "f", "double": "d", "uchar": "B", "ushort": "H", "int": "i", "uint": "I"}
    size, index = (codes[word] for word in lists.split())
    body = b""
    for point in CORNERS:
        body += b"\7" * extra + struct.pack(end + 3 * codes[place], *point)
        body += struct.pack(end + "fBBB", 0, 10, 20, 30) * extra
    for polygon in polygons:
        body += struct.pack(end + size, len(polygon)) + struct.pack(end + len(polygon) * index, *polygon)
        body += b"\1\2\3" * extra
    return text.encode() + body


SOME_QUADS = [*QUADS[:6], *FACES[12:].tolist()]
PLY = {
    "ASCII": ply(),
    "ASCII, CRLF": ply().replace("\n", "\r\n"),
    "ASCII with more properties": ply(extra=True),
    "ASCII quads": ply(polygons=QUADS),
    "ASCII quads and triangles": ply(polygons=SOME_QUADS),
    "little": ply("binary_little_endian"),
    "little with more properties": ply("binary_little_endian", extra=True),
    "little, doubles": ply("binary_little_endian", place="double"),
    "little quads": ply("binary_little_endian", polygons=QUADS),
    "little quads and triangles": ply("binary_little_endian", polygons=SOME_QUADS),
    "little of an ASCII file": ply("binary_little_endian").replace(b"by hand", b"of an ascii STL"),
    "ASCII of a big file": ply().replace("by hand", "of a binary_big_endian PLY"),
    "big": ply("binary_big_endian"),
    "big with more properties": ply("binary_big_endian", place="double", extra=True),
    "vertex_index": ply("binary_little_endian", name="vertex_index"),
    "whole counts": ply("binary_little_endian", lists="int int"),
    "short indices": ply("binary_little_endian", lists="uchar ushort"),
}


def off(head="OFF\n16 24 0", place="", face="", polygons=TRIPLES):
    rows = [row(p) + place for p in CORNERS] + [row([len(p), *p]) + face for p in polygons]
    return head + "\n" + "\n".join(rows) + "\n"


OFF = {
    "plain": off(),
    "counts on the first line": off("OFF 16 24 0"),
    "counts at once": off("OFF16 24 0"),
    "comments": off("OFF # made by hand\n\n# empty\n16 24 0 # counts"),
    "small letters": off("off\n16 24 0"),
    "no first word": off("16 24 0"),
    "colours": off("COFF\n16 24 0", " 255 0 0 255"),
    "colours of faces": off(face=" 0 255 0"),
    "normals": off("NOFF\n16 24 0", " 0 0 1"),
    "texture coordinates": off("STOFF\n16 24 0", " 0 0"),
    "quads": off("OFF\n16 12 0", polygons=QUADS),
}

UNIT = trimesh.creation.box((1, 1, 1))


def placed(mirror=1.0):
    """Unit cubes that nodes scale, mirror and move to the bricks' places."""
    scene = trimesh.Scene()
    for low, side in BRICKS:
        pose = np.diag([*np.multiply(side, (mirror, 1, 1)), 1.0])
        pose[:3, 3] = np.add(low, np.divide(side, 2))
        scene.add_geometry(UNIT.copy(), transform=pose)
    return scene


def gltf():
    """One glTF file with its buffers inside."""
    files = placed().export(file_type="gltf")
    content = json.loads(files["model.gltf"])
    for buffer in content["buffers"]:
        data = base64.b64encode(files[buffer["uri"]]).decode()
        buffer["uri"] = "data:application/octet-stream;base64," + data
    return json.dumps(content)


GLTF = {
    "nodes.glb": placed().export(file_type="glb"),
    "mirrored nodes.glb": placed(-1.0).export(file_type="glb"),
    "inside.gltf": gltf(),
    "byte order mark.gltf": b"\xef\xbb\xbf" + gltf().encode(),
}

UP = {
    "Z_UP": lambda p: p,
    "Y_UP": lambda p: p[:, [0, 2, 1]] * (1, 1, -1),
    "X_UP": lambda p: p[:, [2, 0, 1]] * (1, -1, -1),
}
NODE = '<node id="n"><instance_geometry url="#g"/></node>'


def dae(faces=None, *, unit=1.0, up="Z_UP", nodes=NODE, points=None, scene=True, namespace=True):
    """A COLLADA file whose faces name a normal as well."""
    places = UP[up](CORNERS if points is None else points) / unit
    faces = (
        faces
        or f'<triangles count="24">{INPUTS}<p>{row((i, 0)[k] for i in FACES.ravel() for k in (0, 1))}</p></triangles>'
    )
    space = ' xmlns="http://www.collada.org/2005/11/COLLADASchema"' * namespace
    shown = '<scene><instance_visual_scene url="#s"/></scene>' * scene
    return f"""<?xml version="1.0"?><COLLADA{space} version="1.4.1">
<asset><unit name="u" meter="{unit}"/><up_axis>{up}</up_axis></asset><library_geometries><geometry id="g"><mesh>
<source id="p"><float_array id="pa" count="{3 * len(places)}">{row(places.ravel(), "{:.9g}")}</float_array>
<technique_common><accessor source="#pa" count="{len(places)}" stride="3"><param name="X" type="float"/></accessor>
</technique_common></source><source id="m"><float_array id="ma" count="3">0 0 1</float_array></source>
<vertices id="v"><input semantic="POSITION" source="#p"/></vertices>{faces}</mesh></geometry></library_geometries>
<library_visual_scenes><visual_scene id="s">{nodes}</visual_scene></library_visual_scenes>{shown}</COLLADA>"""


INPUTS = '<input semantic="VERTEX" source="#v" offset="0"/><input semantic="NORMAL" source="#m" offset="1"/>'
BOTH = [f"{row((i, 0)[k] for i in quad for k in (0, 1))}" for quad in QUADS]
BRICK_NODES = "".join(
    f'<node><translate>{row(low)}</translate><rotate>0 0 1 90</rotate><rotate>0 0 1 -90</rotate>'
    f'<scale>{row(side)}</scale><instance_geometry url="#g"/></node>' for low, side in BRICKS
)  # fmt: skip
STRIPS = "".join(f"<p>{row((q[k], 0)[m] for k in (0, 1, 3, 2) for m in (0, 1))}</p>" for q in QUADS)
CUBE = f'<triangles count="12">{INPUTS}<p>{row((i, 0)[k] for i in FACES[:12].ravel() for k in (0, 1))}</p></triangles>'
STEPS = np.array(list(np.ndindex(2, 2, 2)), float)
DAE = {
    "metres": dae(),
    "inches": dae(unit=0.0254),
    "millimetres, y up": dae(unit=0.001, up="Y_UP"),
    "x up": dae(up="X_UP"),
    "no namespace": dae(namespace=False),
    "no scene": dae(scene=False),
    "polylist": dae(f'<polylist count="12">{INPUTS}<vcount>{"4 " * 12}</vcount><p>{" ".join(BOTH)}</p></polylist>'),
    "polygons": dae(f'<polygons count="12">{INPUTS}{"".join(f"<p>{p}</p>" for p in BOTH)}</polygons>'),
    "strips": dae(f"<tristrips>{INPUTS}{STRIPS}</tristrips>"),
    "nodes": dae(CUBE, nodes=BRICK_NODES, points=STEPS),
    "nodes within nodes": dae(
        nodes=f'<node><matrix>0 -1 0 0 1 0 0 0 0 0 1 5 0 0 0 1</matrix><node><translate>0 0 -5</translate>'
        f'<rotate>0 0 1 -90</rotate>{NODE}</node></node>'
    ),
}  # fmt: skip


def threemf(unit="millimeter", scale=1000.0, *, transform=None, parts=False, main="3D/3dmodel.model", colour=None):
    """A 3MF; ``parts`` makes an object of each brick, and builds a third that has them as components."""
    turn = "" if transform is None else f' transform="{transform}"'
    bricks = ((CORNERS[:8], FACES[:12]), (CORNERS[8:], FACES[:12])) if parts else ((CORNERS, FACES),)
    objects = ""
    for i, (places, faces) in enumerate(bricks):
        vertices = "".join('<vertex x="{:.9g}" y="{:.9g}" z="{:.9g}"/>'.format(*place) for place in places * scale)
        triangles = "".join('<triangle v1="{}" v2="{}" v3="{}"/>'.format(*face) for face in faces)
        paint = "" if colour is None else ' pid="20" pindex="0"'
        objects += f'<object id="{i + 1}"{paint}><mesh><vertices>{vertices}</vertices><triangles>{triangles}'
        objects += "</triangles></mesh></object>"
    components = '<object id="9"><components><component objectid="1"/><component objectid="2"/></components></object>'
    if colour is not None:
        objects += f'<basematerials id="20"><base name="paint" displaycolor="{colour}"/></basematerials>'
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            main,
            f'<model unit="{unit}" xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02"><resources>{objects}'
            f'{components * parts}</resources><build><item objectid="{9 if parts else 1}"{turn}/></build></model>',
        )
    return file.getvalue()


THREEMF = {
    "millimetres": threemf(),
    "inches": threemf("inch", 1 / 0.0254),
    "metres": threemf("meter", 1.0),
    "microns": threemf("micron", 1e6),
    "components": threemf(parts=True),
    "a transform": threemf(transform="2 0 0 0 2 0 0 0 2 0 0 0", scale=500.0),
    "another name": threemf(main="/3D/bricks.model"),
}
DIALECTS = {f"{name}.obj": data for name, data in OBJ.items()}
DIALECTS["upper-case ending.OBJ"] = DIALECTS.pop("upper-case ending.obj")
DIALECTS |= {f"{name}.stl": data for name, data in STL.items()} | {"gr\xfcn & rot.STL": stl()}
DIALECTS |= {f"{name}.ply": data for name, data in PLY.items()} | {f"{name}.off": data for name, data in OFF.items()}
DIALECTS |= GLTF | {f"{name}.dae": data for name, data in DAE.items()}
DIALECTS |= {f"{name}.3mf": data for name, data in THREEMF.items()}
DIALECTS = {name.replace("/", "."): data for name, data in DIALECTS.items()}
TOLD = {
    "no count.stl": "header counts 0 triangles",
    "too large a count.stl": "header counts 4000000000",
    "too large a count, solid.stl": "header counts 4000000000",
    "too small a count.stl": "header counts 12 triangles",
    "ASCII without an end.stl": "without endsolid",
    "inside out.stl": "inside out",
    "one brick inside out.stl": "inside out",
    "a face that is no number.stl": "1 of its faces were left out",
    "an infinite face.stl": "2 of its faces were left out",
    "a face missing.stl": "its holes were closed",
}
APART = "its 2 parts do not touch but move as one; split the file if they are several objects"


def put(folder, name, data):
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.mark.parametrize("name", DIALECTS)
def test_two_bricks_have_their_volume_size_centre_and_number(tmp_path, name):
    read = read_scene(put(tmp_path, name, DIALECTS[name]))
    clean = clean_mesh(one_mesh(read.scene))
    assert clean.solid.is_watertight
    assert clean.solid.volume == pytest.approx(VOLUME, rel=1e-4)
    assert clean.solid.area == pytest.approx(AREA, rel=1e-4)
    assert clean.solid.body_count == 2
    np.testing.assert_allclose(clean.solid.bounds, (LOW, HIGH), atol=1e-6)
    np.testing.assert_allclose(clean.solid.center_mass, CENTRE, atol=1e-6)
    told = [note for note in (*read.notes, *clean.notes) if note != APART]
    assert APART in clean.notes
    assert len(told) == (name in TOLD)
    assert TOLD.get(name, "") in "".join(told)


@pytest.fixture(scope="module")
def world():
    with pytest.MonkeyPatch.context():
        made = World(PhysicsSettings(), TraySettings())
    yield made
    made.close()


@pytest.mark.parametrize("name", DIALECTS)
def test_physics_and_cameras_have_the_same_bricks_where_a_urdf_names_them(tmp_path, world, name):
    put(tmp_path, name, DIALECTS[name])
    shape = f'<geometry><mesh filename="{name.replace("&", "&amp;")}"/></geometry>'
    link = f'<link name="l"><visual>{shape}</visual><collision>{shape}</collision></link>'
    (tmp_path / "object.urdf").write_text(f'<robot name="r">{link}</robot>', encoding="utf-8")
    model = ObjectSet.from_folder(tmp_path, cache=tmp_path / "cache").models[0]
    vertices = model.mesh().vertices[model.mesh().faces]
    np.testing.assert_allclose(vertices.min(axis=(0, 1)), LOW, atol=1e-6)
    np.testing.assert_allclose(vertices.max(axis=(0, 1)), HIGH, atol=1e-6)
    body = pybullet.loadURDF(str(model.urdf), physicsClientId=world.client)
    low, high = pybullet.getAABB(body, physicsClientId=world.client)
    pybullet.removeBody(body, physicsClientId=world.client)
    np.testing.assert_allclose(low, np.subtract(LOW, 0.002), atol=0.0015)  # Bullet's margin: 1 to 3 mm
    np.testing.assert_allclose(high, np.add(HIGH, 0.002), atol=0.0015)


L_CAP = [(0, 0), (0.06, 0), (0.06, 0.02), (0.02, 0.02), (0.02, 0.06), (0, 0.06)]


@pytest.mark.parametrize("start", range(6))
@pytest.mark.parametrize("ending", ["obj", "off", "dae"])
def test_a_polygon_that_is_not_convex_is_cut_within_itself(tmp_path, start, ending):
    outline = np.roll(L_CAP, -start, axis=0)
    places = np.array([(x, y, z) for z in (0, 0.016) for x, y in outline])
    polygons = [tuple(range(5, -1, -1)), tuple(range(6, 12))]
    polygons += [(i, (i + 1) % 6, (i + 1) % 6 + 6, i + 6) for i in range(6)]
    if ending == "obj":
        lines = [f"v {row(p)}" for p in places] + [f"f {row(i + 1 for i in p)}" for p in polygons]
    elif ending == "off":
        lines = ["OFF", f"12 {len(polygons)} 0", *map(row, places), *(row([len(p), *p]) for p in polygons)]
    else:
        inner = "".join(f"<p>{row(p)}</p>" for p in polygons)
        lines = [dae(f'<polygons><input semantic="VERTEX" source="#v" offset="0"/>{inner}</polygons>', points=places)]
    solid = clean_mesh(read_mesh(put(tmp_path, f"l.{ending}", "\n".join(lines)))).solid
    assert solid.volume == pytest.approx(0.002 * 0.016)
    assert solid.area == pytest.approx(2 * 0.002 + 0.24 * 0.016)


def ball(radius, inwards=False):
    mesh = trimesh.creation.icosphere(2, radius)
    faces = mesh.faces[:, ::-1] if inwards else mesh.faces
    return trimesh.Trimesh(mesh.vertices, faces, process=False)


@pytest.mark.parametrize(
    ("inner_inwards", "outer_inwards", "hollow"), [(True, False, True), (False, True, True), (False, False, False)]
)
def test_a_hollow_ball_stays_hollow_and_a_ball_in_a_ball_counts_once(tmp_path, inner_inwards, outer_inwards, hollow):
    mesh = trimesh.util.concatenate([ball(0.03, outer_inwards), ball(0.02, inner_inwards)])
    mesh.export(tmp_path / "ball.stl")
    solid = clean_mesh(read_mesh(tmp_path / "ball.stl")).solid
    assert solid.volume == pytest.approx(ball(0.03).volume - hollow * ball(0.02).volume, rel=1e-4)


CURES = {
    "comma.obj": (obj().replace(".", ","), "decimal commas"),
    "comma.stl": (stl_ascii().replace(".", ","), "decimal commas"),
    "comma.ply": (ply().replace("0.", "0,"), "decimal commas"),
    "comma.off": (off().replace(".", ","), "decimal commas"),
    "from zero.obj": (each(obj(), "f", lambda line: "f " + row(int(v) - 1 for v in line.split()[1:])), "from 0"),
    "beyond.obj": (obj() + "f 1 2 99\n", "vertex 99, but 16"),
    "beyond.ply": (ply().replace("3 0 1 3", "3 0 1 77"), "77"),
    "beyond.off": (off().replace("3 0 1 3", "3 0 1 77"), "vertex 77 of 16"),
    "points.obj": ("v 0 0 0\nv 1 0 0\n", "no usable triangles"),
    "points.ply": (ply(polygons=[]), "16 points without faces"),
    "cut.stl": (stl()[:-20], "cut off"),
    "cut ascii.stl": (stl_ascii()[:-200], "cut off"),
    "cut.ply": (ply("binary_little_endian")[:-30], "export it again"),
    "cut ascii.ply": (ply()[:-30], "cut off"),
    "cut.off": (off()[:-30], "cut off"),
    "cut.glb": (GLTF["nodes.glb"][:-100], "cut off"),
    "cut.dae": (dae()[:-100], "broken"),
    "cut.3mf": (threemf()[:-40], "no 3MF"),
    "claims.ply": (ply("binary_little_endian", faces=4_000_000_000), "cut off"),
    "claims.off": (off("OFF\n4000000000 4000000000 0"), "cut off"),
    "claims.gltf": (gltf().replace('"count": 36', '"count": 4000000000'), "counts more"),
    "binary.off": (b"OFF BINARY\n\0\0\0\x10", "binary OFF"),
    "strips.ply": (ply(polygons=[]).replace("element face 0", "element tristrips 1"), "strips"),
    "buffer.gltf": (placed().export(file_type="gltf")["model.gltf"], "names gltf_buffer_0.bin, which is not there"),
    "draco.gltf": (gltf()[:-1] + ', "extensionsRequired": ["KHR_draco_mesh_compression"]}', "compressed by Draco"),
    "first.gltf": (gltf().replace('"2.0"', '"1.0"'), "glTF 1.0"),
    "unit.3mf": (threemf("furlong"), "furlong"),
    "empty.stl": (b"", "is empty"),
    "blank.obj": (b"\n\n  \n", "is empty"),
    "zipped.stl": (gzip.compress(stl()), "gunzip"),
    "model.obj": (threemf(), "unzip"),
    "named.stl": (ply(), "rename it to end in .ply"),
    "named.obj": (GLTF["nodes.glb"], "rename it to end in .glb"),
    "page.stl": ("<!DOCTYPE html><html></html>", "web page"),
    "pointer.stl": ("version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 9\n", "git lfs pull"),
    "words.stl": ("hello\n", "no STL facets"),
    "nan.stl": (stl(np.full((4, 3, 3), np.nan)), "not finite"),
}  # fmt: skip


@pytest.mark.parametrize("name", CURES)
def test_what_cannot_be_read_is_one_sentence_with_its_cure(tmp_path, name):
    data, cure = CURES[name]
    path = put(tmp_path, name, data)
    with pytest.raises(InputError, match=r"^mesh [^\n]*$") as caught:
        read_mesh(path)
    assert cure in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_set_tells_once_what_is_doubtful_and_names_files_of_other_formats(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    put(folder, "turned.stl", stl(TRIANGLES[:12, ::-1]))
    put(folder, "sound.stl", stl(TRIANGLES[:12]))
    put(folder, "packed.stl.gz", gzip.compress(stl()))
    put(folder, "part.step", "ISO-10303-21;")
    (folder / "link.stl").symlink_to(folder / "sound.stl")
    for _ in range(2):  # made, and from the cache
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            objects = ObjectSet.from_folder(folder, cache=tmp_path / "cache", workers=1)
        assert objects.names == ["link", "sound", "turned"]
        said = [str(w.message) for w in caught]
        assert len(said) == 2
        assert "packed.stl.gz: it is compressed; unpack it first" in said[0]
        assert "part.step: it is not read; export it" in said[0]
        assert "turned: it was inside out and was turned" in said[1]
        assert "sound" not in said[1]


def test_a_urdf_in_millimetres_is_told(tmp_path):
    put(tmp_path, "a.stl", stl(TRIANGLES * 1000))
    shape = '<geometry><mesh filename="a.stl"/></geometry>'
    (tmp_path / "a.urdf").write_text(f'<robot name="r"><link name="l"><visual>{shape}</visual></link></robot>')
    with pytest.warns(UserWarning, match=r"a: it is 70 m long \(objects.scale=0.001 if it is in millimetres"):
        ObjectSet.from_folder(tmp_path, cache=tmp_path / "cache")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = ObjectSet.from_folder(tmp_path, cache=tmp_path / "cache", scale=0.001).models[0]
    np.testing.assert_allclose(np.ptp(model.mesh().vertices, axis=0), (0.07, 0.04, 0.06), atol=1e-6)


def test_colours_of_dae_and_3mf_and_off_are_seen(tmp_path):
    faces = dae().replace("<triangles ", '<triangles material="m" ')
    bound = (
        '<instance_geometry url="#g"><bind_material><technique_common><instance_material symbol="m" target="#paint"/>'
    )
    bound += "</technique_common></bind_material></instance_geometry>"
    paint = '<library_effects><effect id="e"><profile_COMMON><technique><lambert><diffuse><color>0.2 0.4 0.6 1</color>'
    paint += "</diffuse></lambert></technique></profile_COMMON></effect></library_effects><library_materials>"
    paint += '<material id="paint"><instance_effect url="#e"/></material></library_materials></COLLADA>'
    faces = faces.replace('<instance_geometry url="#g"/>', bound).replace("</COLLADA>", paint)
    put(tmp_path, "a.dae", faces)
    put(tmp_path, "b.off", off("COFF\n16 24 0", " 51 102 153 255"))
    put(tmp_path, "c.3mf", threemf(colour="#336699"))
    for name in ("a.dae", "b.off", "c.3mf"):
        shape = f'<geometry><mesh filename="{name}"/></geometry>'
        (tmp_path / f"{name}.urdf").write_text(
            f'<robot name="r"><link name="l"><visual>{shape}</visual></link></robot>'
        )
    for model in ObjectSet.from_folder(tmp_path, cache=tmp_path / "cache").models:
        np.testing.assert_allclose(model.mesh().colours, np.tile((0.2, 0.4, 0.6), (24, 1)), atol=0.01)
