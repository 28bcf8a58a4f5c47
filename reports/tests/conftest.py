"""Puts `synthetic`, the helper of these tests, on the path: pytest in importlib mode does not."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
