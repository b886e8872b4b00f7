"""Stage 1, image -> boxes: Faster R-CNN or RetinaNet, trained on partial labels, and the writer of out-of-fold boxes."""
