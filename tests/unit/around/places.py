"""Where the recorded datasets and the reference data are."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[3]
DATASETS = ROOT / "datasets"
SHARED = Path(os.environ.get("DISCOVER_SHARED") or ROOT.parent / "shared")
