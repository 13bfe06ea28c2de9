"""The two folders of the top level that a wheel carries as packages; all else stands in setup.cfg."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["panrecon*"]), "panrecon.pipelines", "panrecon.categories"])
