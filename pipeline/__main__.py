"""The command line: python -m pipeline VERB, or garment-keypoints VERB."""

import os
import sys

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

from pipeline.cli.run import main

if __name__ == "__main__":
    sys.exit(main())
