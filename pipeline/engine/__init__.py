"""Both stages at work: photos in, garments out (predictions); rows in, points or boxes out (submissions, training boxes)."""
