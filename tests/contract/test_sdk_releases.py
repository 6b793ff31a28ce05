"""The same program through other releases of the official SDK, each installed into a folder of its own.

Needs a package index. Where none can be reached the test is skipped and says so.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import KEY, Server

HERE = Path(__file__).parent
RELEASES = ["1.109.1", "2.54.0"]  # the current release is what the rest of this suite uses
NODE_RELEASE = "6"
PATIENCE_SECONDS = 240


def run(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def install(command: list[str], folder: Path, what: str) -> None:
    try:
        done = run(command, folder)
    except subprocess.TimeoutExpired:  # a network that swallows everything looks like a slow one
        pytest.skip(f"{what} did not run: it was not installed within {PATIENCE_SECONDS} s")
    if done.returncode:
        pytest.skip(f"{what} did not run: it could not be installed: {(done.stderr or done.stdout).strip()[-300:]}")


def finished(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def python_installer(package: str, target: Path) -> list[str]:
    if shutil.which("uv"):
        return ["uv", "pip", "install", "-q", "--python", sys.executable, "--target", str(target), package]
    return [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "--target",
        str(target),
        package,
    ]


@pytest.mark.slow
@pytest.mark.parametrize("release", RELEASES)
def test_a_program_runs_with_an_older_release(server: Server, release: str, tmp_path: Path) -> None:
    target = tmp_path / "site"
    install(python_installer(f"openai=={release}", target), tmp_path, f"openai {release}")
    program = [sys.executable, str(HERE / "sdk_program.py"), f"{server.url}/v1", KEY]
    assert f"done with {release}" in finished(run(program, tmp_path, PYTHONPATH=str(target)))


def test_a_program_runs_with_the_current_release(server: Server, tmp_path: Path) -> None:
    program = [sys.executable, str(HERE / "sdk_program.py"), f"{server.url}/v1", KEY]
    assert "done with" in finished(run(program, tmp_path))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="the Node SDK did not run: there is no npm")
def test_a_program_runs_with_the_sdk_for_node(server: Server, tmp_path: Path) -> None:
    quiet = ["--no-audit", "--no-fund", "--loglevel=error", "--ignore-scripts"]
    install(["npm", "install", *quiet, f"openai@{NODE_RELEASE}"], tmp_path, "the Node SDK")
    program = tmp_path / "program.mjs"
    program.write_text((HERE / "sdk_program.mjs").read_text("utf-8"))
    assert "done with node" in finished(run(["node", str(program), f"{server.url}/v1", KEY], tmp_path))
