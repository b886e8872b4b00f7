"""Both stages at work: pictures in, garments out (predicting), and rows in, points or boxes out (submissions, training boxes)."""
