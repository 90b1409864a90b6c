"""Builds `sluice-appliance`: the package `appliance`, with web/ inside it, and the command `sluice`."""

import sys
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))  # isolated builds do not have it there

from appliance.config.build import GENERATED, VERSION, sha  # noqa: E402  (needs nothing that is to be installed)


class BuildWithCommit(build_py):
    """Leaves the commit beside config/build.py in what is built: an installed `sluice version` tells it."""

    def run(self) -> None:
        super().run()
        if not getattr(self, "editable_mode", False):  # an editable one asks the checkout's .git each time
            write_sha(Path(self.build_lib))


class SourceWithCommit(sdist):
    """A source distribution has no .git: what is built from it finds the commit in the same file."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        write_sha(Path(base_dir))


def write_sha(tree: Path) -> None:
    path = tree / "appliance" / "config" / GENERATED
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(sha() + "\n", encoding="utf-8")


setup(
    name="sluice-appliance",
    version=VERSION,
    description="A self-hosted tunnel: services in a private network, reached through a server of your own",
    long_description=(ROOT / "README.md").read_text("utf-8") if (ROOT / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    author="The Sluice developers",
    license="MIT",
    python_requires=">=3.10",
    packages=[*find_packages(include=["appliance", "appliance.*"]), "appliance.web"],
    # web/ lies beside the package in a checkout, and inside it once installed.
    package_dir={"appliance.web": "web"},
    package_data={"appliance": ["py.typed", "transport/*.cnf"], "appliance.web": ["*", "*/*", "*/*/*"]},
    include_package_data=False,
    install_requires=[
        "brotli>=1.2",  # bodies in the inspector; loaded when one is looked at
        "click>=8.1.7",
        "cryptography>=42",
        "flask>=3,<4",
        "gevent>=24.10",
        "gevent-websocket>=0.10.1,<0.11",
        "prometheus-client>=0.20",
        "pyopenssl>=24",
        'tomli>=2; python_version < "3.11"',
        "websockets>=13",
    ],
    extras_require={
        "acme": ["acme>=4", "requests>=2.31"],  # certificates by --letsencrypt-domain
        "test": ["coverage>=7", "h11>=0.14", "hypothesis>=6", "mypy>=1.11", "pytest>=8", "ruff>=0.6"],
    },
    entry_points={"console_scripts": ["sluice = appliance.__main__:main"]},
    cmdclass={"build_py": BuildWithCommit, "sdist": SourceWithCommit},
    classifiers=[
        "Environment :: Console",
        "Environment :: Web Environment",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Topic :: Internet :: Proxy Servers",
    ],
)
