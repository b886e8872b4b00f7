"""A small server: photos in, garments out, as a page and as JSON. Needs the extra `demo`."""
