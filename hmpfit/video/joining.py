"""Parts of a video, written one beside the other, put together without encoding them again.

Separate from the writer, which knows pixels; here are packets only.
"""

from collections.abc import Sequence
from pathlib import Path

from hmpfit.files.replacing import replace_file
from hmpfit.video.writer import encoder_errors


def join_videos(path: Path, parts: Sequence[Path], starts_s: Sequence[float]) -> None:
    """Write the frames of `parts`, written by `VideoWriter` with the same settings, one after the other as one file.

    `starts_s` tells when each part's first frame is shown. Raises RunFolderError when the folder or the disk refuses.
    """
    import av

    partial = path.with_name(f".{path.name}.partial")
    try:
        with (
            encoder_errors(path),
            av.open(f"file:{partial}", "w", format="mp4", options={"movflags": "+faststart"}) as out,
        ):
            stream, next_dts = None, -(2**62)
            for part, start_s in zip(parts, starts_s, strict=True):
                with av.open(f"file:{part}") as source:
                    given = source.streams.video[0]
                    stream = out.add_stream_from_template(given) if stream is None else stream
                    for packet in source.demux(given):
                        if packet.dts is None or packet.pts is None:
                            continue  # the one that ends the stream
                        shift = round(start_s / packet.time_base)
                        # A part's first frames are decoded ahead by its own steps, which may reach into the one before.
                        packet.pts, packet.dts = packet.pts + shift, max(packet.dts + shift, next_dts)
                        next_dts, packet.stream = packet.dts + 1, stream
                        out.mux(packet)
        with encoder_errors(path):
            replace_file(partial, path)
    finally:
        partial.unlink(missing_ok=True)
