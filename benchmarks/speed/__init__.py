"""Benchmarks of speed: scripts that `make bench` runs, with classes that asv runs."""

import sys
from pathlib import Path

# The scripts import each other as plain modules; asv imports them from this package.
sys.path.insert(0, str(Path(__file__).parent))
