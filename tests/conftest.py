"""What every test shares: a workspace of its own, and the real base models in the user's model cache."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from engine.base_models import FIRST_START, BaseModelError, ensure, models_dir
from tests.databases import database, postgresql  # noqa: F401

# Before any test module is imported, so that no test can touch the user's workspace. The models are the same for
# everybody and only ever read: they stay where the user has them.
os.environ["DST_STUDIO_MODELS"] = str(models_dir())
WORKSPACE = Path(tempfile.mkdtemp(prefix="dst-studio-tests-"))
os.environ["DST_STUDIO_HOME"] = str(WORKSPACE)
os.environ.pop("DST_STUDIO_DATABASE", None)

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a slow machine is no failure
settings.load_profile("patient")


def pytest_unconfigure() -> None:
    """Remove the tests' workspace."""
    shutil.rmtree(WORKSPACE, ignore_errors=True)


@pytest.fixture(scope="session")
def base_models() -> dict[str, Path]:
    """The folders of the embedded base models, by hub id; skips where they are absent and cannot be fetched."""
    try:
        return {name: ensure(name) for name in FIRST_START}
    except BaseModelError as error:
        pytest.skip(f"needs the base models: {error}")
