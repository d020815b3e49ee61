import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("PALATE_PROGRESS", "quiet")
sys.path.insert(0, str(Path(__file__).parent))
