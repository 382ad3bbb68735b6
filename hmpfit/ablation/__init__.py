"""The paper's table: the same clips fitted in several ways, scored against truth or against withheld keypoints."""
