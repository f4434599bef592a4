"""`python -m rlvr`, which is what `accelerate launch -m rlvr` runs."""

import sys

from rlvr.commands.main import main

sys.exit(main())
