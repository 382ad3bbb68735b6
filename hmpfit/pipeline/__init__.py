"""The steps of `hmpfit run`: detect, initialize, gather evidence, fit, publish; the library calls are in `api`."""

from hmpfit.pipeline.api import (
    fit_in_folder,
    fit_to_record,
    fit_videos,
    keypoints_in_folder,
    prepare_video,
    run_video,
)

__all__ = ["fit_in_folder", "fit_to_record", "fit_videos", "keypoints_in_folder", "prepare_video", "run_video"]
