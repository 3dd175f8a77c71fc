"""`python -m prismrec` is the command `prismrec`."""

import os

from prismrec.cli import main

if __name__ == "__main__":
    try:
        main()
    except SystemExit as end:
        if "TORCHELASTIC_RUN_ID" in os.environ and isinstance(end.code, int):
            from prismrec.cluster.ending import end_at_once

            end_at_once(end.code)
        raise
