"""Speed of solvers, batches and whole runs on this machine; what `hmpfit bench` prints."""
