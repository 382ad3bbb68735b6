"""hmpfit recovers 3D hands from ordinary video by optimisation.

Nothing is imported here, so that `import hmpfit` and `hmpfit --help` stay instant.
"""

__version__ = "0.1.0"
