"""Packages are found, not listed; ``conf/`` belongs to no floor and is installed as ``plgp_conf``."""

from setuptools import find_packages, setup

FLOORS = ("sim", "labeler", "plgp", "robot")
found = find_packages(include=[pattern for floor in FLOORS for pattern in (floor, f"{floor}.*")])
setup(packages=[*found, "plgp_conf"], package_dir={"plgp_conf": "conf"})
