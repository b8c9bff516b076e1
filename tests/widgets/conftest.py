"""Makes the synthetic acts importable from every test of the widgets."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
