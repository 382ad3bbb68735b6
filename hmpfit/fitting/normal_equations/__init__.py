"""The Gauss-Newton normal equations: their blocks, and how they are factored along time."""
