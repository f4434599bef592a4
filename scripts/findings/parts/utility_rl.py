"""The RL arms of utility_after.py: the same utility as reward, or an honest reward and the utility afterwards."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from rlvr.eval_file import load_eval
