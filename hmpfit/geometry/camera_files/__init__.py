"""Reading cameras that other tools calibrated: OpenCV, COLMAP, ROS, Kalibr, and our own JSON and npz."""
