# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Install the two packages of this project, ``cpo_lab`` (Isaac Lab extension) and ``cpo_rl`` (learning library)."""

from __future__ import annotations

import tomllib
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
EXTENSION = ROOT / "exts" / "cpo_lab"
LIBRARY = ROOT / "source" / "cpo_rl"

# One place for the version, title and keywords: the file Omniverse Kit reads.
PACKAGE = tomllib.loads((EXTENSION / "config" / "extension.toml").read_text(encoding="utf-8"))["package"]

# PhysX 5 without Kit ("ovphysx") has wheels for these machines only; elsewhere Newton is the engine.
OVPHYSX_MACHINE = 'platform_system == "Linux" and platform_machine == "x86_64"'

REQUIREMENTS = [
    "isaaclab==3.0.0",
    f"isaaclab[ovphysx]==3.0.0; {OVPHYSX_MACHINE}",
    "rsl-rl-lib==5.5.1",
    "torch>=2.11",
    "tensordict",
    "numpy>=2",
    "gymnasium>=1.2",
    "tensorboard",
    "matplotlib>=3.10",
    "scipy",
    "pyyaml",
    "rich",
]

EXTRAS = {
    # What ``cpo-lab play --video`` needs: Isaac Lab's recorder is written against moviepy 1.
    "video": ["moviepy<2", "imageio-ffmpeg"],
    # What ``cpo-lab export`` checks ONNX files with; without it a slower evaluator of the onnx package does.
    "export": ["onnxruntime"],
    # What ``./cpo_lab.sh test`` needs.
    "test": [
        "onnxruntime",
        "pytest>=8",
        "pytest-cov",
        "pytest-timeout",
        "pytest-xdist",
        "hypothesis",
        "ruff",
        "mypy",
        "types-PyYAML",
        "isaaclab[viser]==3.0.0",
    ],
    # What ``./cpo_lab.sh docs`` builds the documentation's site with.
    "docs": ["mkdocs-material>=9.7,<10", "mkdocstrings-python>=2", "latex2mathml>=3.77"],
    # Isaac Sim with RTX rendering: needs an RTX GPU and NVIDIA's package index (README, "Isaac Sim").
    "isaacsim": ["isaaclab[isaacsim]==3.0.0"],
    "viser": ["isaaclab[viser]==3.0.0"],
    "rerun": ["isaaclab[rerun]==3.0.0"],
    "wandb": ["isaaclab[wandb]==3.0.0"],
    # Launchers of ``cpo-lab sweep`` and ``cpo-lab pbt`` (docs/cluster.md).
    "slurm": ["submitit>=1.5,<2"],
    "ray": ["ray[tune]>=2.40,<3"],
}

setup(
    name="cpo-lab",
    version=PACKAGE["version"],
    description=PACKAGE["title"],
    long_description=(ROOT / "README.md").read_text(encoding="utf-8") if (ROOT / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    author=PACKAGE["authors"][0],
    license=PACKAGE["license"],
    keywords=PACKAGE["keywords"],
    python_requires=">=3.12,<3.13",
    packages=find_packages(str(EXTENSION), include=["cpo_lab", "cpo_lab.*"])
    + find_packages(str(LIBRARY), include=["cpo_rl", "cpo_rl.*"]),
    package_dir={"cpo_lab": "exts/cpo_lab/cpo_lab", "cpo_rl": "source/cpo_rl/cpo_rl"},
    package_data={
        "cpo_lab": ["py.typed", "**/*.yaml", "**/*.json", "**/*.html", "**/*.css", "**/*.js"],
        "cpo_rl": ["py.typed"],
    },
    install_requires=REQUIREMENTS,
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": ["cpo-lab = cpo_lab.cli:main"],
        "isaaclab.tasks": ["cpo_lab = cpo_lab.tasks"],
    },
    zip_safe=False,
    classifiers=[
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
