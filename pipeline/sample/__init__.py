"""Draws the sample: garments on bodies, hangers and tables, with every keypoint known, in the FashionAI layout.

pose -> outlines of garments (and their keypoints) -> layers of cloth and skin -> pictures -> CSV.
"""
