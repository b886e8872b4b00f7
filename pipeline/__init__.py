"""Key points of garments in photos: what both stages agree on (`contract`), and everything that runs them.

    1. check         rows and pictures are read; every fault is reported at once
    2. folds         rows are divided by a hash of their name, near-duplicates together; `val` is fold 0
    3. detector      one network a fold, trained on the other folds, and a final one on all
    4. boxes.csv     each training image's box, by the network that has not seen it (out of fold)
    5. keypoints     one network, trained on crops of those boxes
    6. TwoStage      images -> boxes -> crops -> points -> points in the image, in batches on the device
    7. submit        one garment an image, of the given category -> submission.csv and its score
       predict       every garment above a threshold -> JSON lines, CSV, COCO, YOLO, overlays

Coordinates are continuous: pixel i covers [i, i + 1), its centre is i + 0.5, a mirrored picture maps x to W - x, cell k of
a map of stride s is centred at (k + 0.5) * s. Boxes are xyxy in the full image. One affine a crop, `crop_from_image`,
takes points into the crop, and its inverse brings predictions back. Nothing is rounded before the CSV is written.

Imports go one way: contract <- learning, data, runs <- detector, keypoints <- settings, load, train, engine <- commands, api <-
__main__. The stages never import each other; `orchestrator`, `reporting` and `sample` know no stage. `lab`, the laboratory, may
import all of them but `__main__`, and none imports it. tests/test_layers.py checks this.
"""
