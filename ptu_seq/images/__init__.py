"""Transfer between sets of images: networks, source, jobs and figures of the image recipe."""
