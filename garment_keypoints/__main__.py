"""The command line where no checkout is: python -m garment_keypoints VERB."""

import sys

from garment_keypoints.pipeline.cli.run import main

if __name__ == "__main__":
    sys.exit(main())
