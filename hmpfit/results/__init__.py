"""Results on disk: `result.npz`, `result.json`, and records as stage files; read and written below evaluation."""
