"""Stage 2, crop -> points: networks, codecs and losses to combine, trained on the boxes that stage 1 predicts."""
