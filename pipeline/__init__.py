"""Key points of garments: what both stages agree on (`contract`), and the running of them.

    images + CSV -> detector (one a fold, and a final one) -> boxes.csv -> keypoint network -> points -> submission.csv

Coordinates are continuous: pixel i covers [i, i + 1), its centre is i + 0.5, a mirrored picture maps x to W - x, cell k of
a map of stride s is centred at (k + 0.5) * s. Boxes are xyxy in the full image. One affine a crop, `crop_from_image`,
takes points into the crop, and its inverse brings predictions back; nothing is rounded before the CSV.

Imports go one way: pipeline.contract <- pipeline.learning <- detector, keypoints <- pipeline.assemble <- pipeline.commands
<- pipeline.__main__. The rest of `pipeline` (data, inference, studies, reporting, sample) reaches a stage only through the
Protocols.
"""
