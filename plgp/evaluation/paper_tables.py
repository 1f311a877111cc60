"""What the paper prints in Tables II, III and IV."""

from __future__ import annotations

from dataclasses import dataclass

CATEGORIES = ("seen-5", "seen-15", "novel-5", "novel-15")
METRICS = ("SR", "PC", "AP")

# SR, PC, AP of seen-5, seen-15, novel-5, novel-15, percent, averaged over frictions 0.2 ... 1.0.
_TABLE_II = """
GGCNN2        depth 70.49 94.47 77.87 59.96 72.47 66.99 68.40 90.06 86.15 62.59 81.63 75.18
GGCNN2        rgb   59.88 82.54 77.97 47.80 47.46 57.65 27.46 43.02 28.43 27.00 20.48  7.49
GGCNN2        rgbd  65.34 89.80 75.68 50.85 57.54 62.86 29.26 52.80 30.33 32.16 30.20  6.47
GRCNN         depth 73.44 95.74 82.92 60.87 77.18 72.05 75.49 93.13 89.47 68.05 84.63 82.70
GRCNN         rgb   60.17 83.67 72.76 48.84 51.32 55.46 27.85 46.38 28.25 30.68 25.66  6.36
GRCNN         rgbd  64.43 88.01 77.61 51.27 58.76 59.25 30.47 55.71 29.84 33.97 35.30  7.23
UNet          depth 73.74 93.92 83.89 61.74 72.58 76.98 76.95 93.43 88.39 67.20 84.20 79.90
UNet          rgb   67.65 89.82 74.96 50.44 51.25 55.14 63.14 82.33 81.74 55.51 57.98 66.92
UNet          rgbd  63.75 86.17 75.67 52.20 55.47 60.90 61.91 88.19 82.98 56.48 65.35 68.30
SegNet        depth 73.94 95.03 84.89 62.18 76.25 73.13 76.34 93.33 89.05 67.19 84.66 79.12
SegNet        rgb   66.66 91.17 76.74 51.42 56.04 64.42 65.21 85.55 83.05 57.22 64.34 67.41
SegNet        rgbd  64.58 89.33 80.40 54.01 64.52 66.46 62.34 88.24 84.57 59.08 73.91 71.52
DeepLabV3Plus depth 55.30 79.29 73.23 50.52 55.15 71.12 66.17 87.65 83.54 62.21 77.75 78.14
DeepLabV3Plus rgb   54.26 77.47 66.69 45.62 43.95 58.94 59.96 83.27 79.75 55.18 60.44 71.41
DeepLabV3Plus rgbd  56.20 80.27 69.20 47.02 48.64 64.63 58.81 84.93 82.17 52.77 60.88 66.55
STDC          depth 74.49 96.17 82.43 62.10 73.74 71.60 75.02 93.18 90.68 68.00 85.49 82.66
STDC          rgb   67.18 92.03 80.41 50.92 53.51 60.80 65.66 83.37 82.02 57.13 63.42 71.87
STDC          rgbd  61.62 82.32 77.08 52.97 59.83 61.96 63.71 86.68 86.10 57.28 69.15 73.10
DANet         depth 81.31 96.22 87.79 69.43 86.55 76.59 80.11 94.28 89.59 69.25 85.64 78.14
DANet         rgb   69.87 92.84 82.86 55.78 64.15 66.14 66.74 87.67 83.16 60.67 69.16 68.64
DANet         rgbd  79.29 96.60 87.97 68.37 79.83 76.73 74.42 91.40 89.97 67.24 79.49 77.06
AFFGANet      depth 83.14 96.39 84.67 75.30 85.84 75.25 80.41 92.02 91.13 65.61 84.79 87.37
AFFGANet      rgb   74.40 86.71 77.66 71.02 75.65 74.65 82.92 94.07 90.68 63.24 67.42 75.71
AFFGANet      rgbd  85.59 96.20 89.47 78.81 85.78 78.33 84.48 96.80 94.07 70.86 84.87 85.49
"""


@dataclass(frozen=True)
class Scores:
    """Success rate (SR), share of the objects that were cleared (PC) and average precision (AP), percent."""

    SR: float
    PC: float
    AP: float


def _table_ii() -> dict[tuple[str, str], dict[str, Scores]]:
    table = {}
    for line in _TABLE_II.split("\n")[1:-1]:
        network, modality, *numbers = line.split()
        values = [float(n) for n in numbers]
        table[network, modality] = {c: Scores(*values[3 * i : 3 * i + 3]) for i, c in enumerate(CATEGORIES)}
    return table


# Scores by network (a class of plgp.networks) and modality, then by category.
TABLE_II = _table_ii()

# AFFGA-Net on 15 novel objects, by (enhancement, binary focal loss). The paper's text says depth input, but the last
# row is Table II's RGB-D.
TABLE_III = {
    (False, False): Scores(25.28, 17.87, 38.91),
    (True, False): Scores(60.45, 78.13, 82.44),
    (False, True): Scores(67.30, 84.85, 81.75),
    (True, True): Scores(70.86, 84.87, 85.49),
}

# Scores on novel objects, by method and input.
TABLE_IV = {
    ("GQCNN", "depth"): {"novel-5": Scores(36.62, 87.95, 65.29), "novel-15": Scores(48.88, 78.42, 62.62)},
    ("FC-GQCNN", "depth"): {"novel-5": Scores(35.08, 83.45, 69.92), "novel-15": Scores(48.98, 79.92, 72.24)},
    ("GraspNet", "point cloud"): {"novel-5": Scores(45.48, 83.90, 54.08), "novel-15": Scores(39.53, 49.38, 48.07)},
    ("AFFGA-Net", "rgbd"): {"novel-5": Scores(84.48, 96.80, 94.07), "novel-15": Scores(70.86, 84.87, 85.49)},
}


@dataclass(frozen=True)
class PublishedCost:
    """What Table II prints for one network.

    Attributes:
        title: Name in the table.
        parameters: Parameters in millions, for depth, RGB, RGB-D.
        flops: What the table calls GFLOPs, for depth, RGB, RGB-D.
    """

    title: str
    parameters: tuple[str, str, str]
    flops: tuple[str, str, str]


INPUTS = {"depth": 1, "RGB": 3, "RGB-D": 4}  # channels of Table II's inputs
COSTS = {
    "GGCNN2": PublishedCost("GGCNN2", ("0.079", "0.083", "0.085"), ("1.36", "1.56", "1.66")),
    "GRCNN": PublishedCost("GRCNN", ("1.90", "1.90", "1.91"), ("13.38", "13.64", "13.77")),
    "UNet": PublishedCost("UNet", ("34.53", "34.53", "34.53"), ("50.18", "50.24", "50.27")),
    "SegNet": PublishedCost("SegNet", ("29.54", "29.54", "29.54"), ("35.41", "35.46", "35.49")),
    "DeepLabV3Plus": PublishedCost("DeepLabv3+", ("62.02", "62.02", "62.03"), ("83.45", "83.53", "83.57")),
    "STDC": PublishedCost("STDC", ("26.18*", "26.19*", "26.19*"), ("25.33*", "25.36*", "25.37*")),
    "DANet": PublishedCost("DANet", ("47.58*", "47.58*", "47.58*"), ("39.25*", "39.26*", "39.27*")),
    "AFFGANet": PublishedCost("AFFGA-Net", ("67.59", "67.60", "67.60"), ("29.58", "29.67", "29.70")),
}
