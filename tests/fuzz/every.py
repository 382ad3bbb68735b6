"""The table of all fuzzed families, by name."""

from tests.fuzz import families as f
from tests.fuzz.cameras import CAMERAS
from tests.fuzz.clips import CLIPS
from tests.fuzz.families import Family
from tests.fuzz.options import OPTIONS
from tests.fuzz.trees import TREES

FAMILIES: dict[str, Family] = {
    "hand_pickle": Family(f._hand_pickle, lambda folder: f.load_hand_models(f._one(folder)), weight=6),
    "hand_npz": Family(f._hand_npz, lambda folder: f.load_hand_models(f._one(folder))),
    **{
        f"foreign_{kind}": Family(f._foreign(kind), f._use_foreign, "**/*.*", weight)
        for kind, weight in (("hamer_npz", 2), ("hamer_crops", 2), ("wilor_json", 2), ("dyn_hamr", 1), ("amass", 1),
                             ("pymaf_x_hand", 2), ("pymaf_x_body", 1), ("metro", 1))
    },
    "keypoints_json": Family(f._keypoints_json, f._use_keypoints),
    "keypoints_npz": Family(f._keypoints_npz, f._use_keypoints),
    "keypoints_coco": Family(f._keypoints_coco, f._use_keypoints),
    "keypoints_mmpose": Family(f._keypoints_mmpose, f._use_keypoints, weight=1),
    "keypoints_openpose": Family(f._keypoints_openpose, f._use_keypoints, "**/*.json"),
    **{f"intrinsics_{s[1:]}": Family(f._intrinsics(s), f._use_intrinsics) for s in (".json", ".npz", ".txt")},
    "run_folder": Family(f._run_folder, f._use_run_folder, weight=3),
    "report": Family(f._run_folder, f._use_report, weight=3),
    "export": Family(f._run_folder, f._use_export, "result*"),
    "eval": Family(f._result_and_truth, f._use_eval, "*.npz"),
    "recipe": Family(f._recipe, f._use_recipe, weight=3),
    "prior": Family(f._prior("default"), f._use_prior),
    "gmm": Family(f._prior("gmm"), f._use_prior, weight=1),
    "regressor": Family(f._regressor, f._use_regressor, weight=1),
    "torch_zip": Family(f._torch_file(True), f._use_torch_file, weight=3),
    "torch_legacy": Family(f._torch_file(False), f._use_torch_file, weight=4),
    "joblib": Family(f._pickles, f._use_pickles, weight=4),
    "landmarker": Family(f._landmarker, f._use_landmarker, weight=1),
    "amass": Family(f._amass, f._use_amass, "**/*.np?", weight=1),
    "recording": Family(f._recording, f._use_recording),
    "leap": Family(f._leap, f._use_recording, weight=1),
    "submission": Family(f._submission, f._use_submission),
    "pictures": Family(f._pictures, f._use_pictures, "*.*"),
    "video": Family(f._video, f._use_video),
    "options": OPTIONS,
    **TREES,
    **CAMERAS,
    **CLIPS,
}  # fmt: skip
