"""``python -m brain_lnp`` is ``brain-lnp``."""

from __future__ import annotations

import sys

from brain_lnp.cli import main

if __name__ == "__main__":  # worker processes import this module under another name
    sys.exit(main())
