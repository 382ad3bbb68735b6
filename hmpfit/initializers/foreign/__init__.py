"""Result files of other systems, one reader each; `initializers/from_file.py` tells them apart."""
