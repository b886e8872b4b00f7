"""The command line: python -m pipeline VERB, or garment-keypoints VERB."""

import sys

from pipeline.cli.run import main

if __name__ == "__main__":
    sys.exit(main())
