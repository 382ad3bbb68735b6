"""What a plug-in of each family is: one file per family, a record or a Protocol with one signature each."""
