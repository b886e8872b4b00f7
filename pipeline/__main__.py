"""The command line in a checkout: python -m pipeline VERB. The sources know this package as garment_keypoints.pipeline."""

import sys

from garment_keypoints.pipeline.cli.run import main

if __name__ == "__main__":
    sys.exit(main())
