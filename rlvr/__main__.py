"""Run the command as `python -m rlvr`, which is what `accelerate launch -m rlvr` does."""

import sys

from rlvr.commands.main import main

sys.exit(main())
