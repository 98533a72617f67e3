"""The console's copies of npm packages match the published packages."""

import shutil

import pytest

from tests.console.vendor import CONSOLE, build


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is missing. Install Node.js.")
def test_copies_equal_a_build_from_the_published_packages():
    for name, text in build().items():
        assert (CONSOLE / name).read_text(encoding="utf-8") == text, name
