"""One pass through a video's packets: open the container, choose the stream, decode what decodes.

Separate from `video_file`, which numbers, places and converts the frames.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hmpfit.errors import InputError
from hmpfit.files.opening import explained, open_regular

if TYPE_CHECKING:
    import av
    import av.container
    import av.video

# Left out on purpose: playlists, which fetch other files, and "tty", which draws any text file as a film of letters.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,asf,flv,ogg,gif,apng,mxf,dv,rm,wtv,nut,ivf,y4m,"
    "yuv4mpegpipe,h264,hevc,av1,obu,m4v,mjpeg,vc1,wav,mp3,aac,flac,image2,png_pipe,jpeg_pipe,bmp_pipe,webp_pipe,tiff_pipe"
)
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": _CONTAINERS}


def opened(path: Path) -> "av.container.InputContainer":
    """Open a file as a container of streams. Raises InputError for what is none."""
    import av

    with explained(path):
        open_regular(path).close()  # FFmpeg would wait for a pipe, and read a device without end
    try:
        # A colon in a bare name would name a protocol; titles may be in any encoding.
        return av.open(f"file:{path}", options=_OPTIONS, metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise InputError(
            f"'{path}' is not a video or photo that can be read; MP4, MOV, WebM, MKV, JPG, PNG, HEIC and others can."
        ) from error


def video_stream(container: "av.container.InputContainer", path: Path) -> "av.video.stream.VideoStream":
    """Return the stream that is the film. Raises InputError where there is none that can be decoded."""
    if not container.streams.video:
        raise InputError(f"'{path}' holds no pictures ({container.format.long_name}); give a video.")
    readable = [stream for stream in container.streams.video if stream.codec_context is not None]
    if not readable:
        raise InputError(f"'{path}' is coded in a way that cannot be decoded here; convert it to H.264.")
    stream = max(readable, key=_rank)
    stream.thread_type = "NONE"  # damaged frames come out the same each time; the steps after this fill the cores
    return stream


def _rank(stream: "av.video.stream.VideoStream") -> tuple[bool, bool, bool, int]:
    """Return how likely a stream is the film: cover pictures and thumbnails come last, then the largest wins."""
    from av.stream import Disposition

    kind = stream.disposition
    picture = bool(kind & (Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image))
    moves = stream.frames != 1 and len(stream.index_entries) != 1
    return not picture, moves, bool(kind & Disposition.default), stream.width * stream.height


def decoded_frames(
    container: "av.container.InputContainer",
    stream: "av.video.stream.VideoStream",
    damage: list[str],
    trimmed: list[int] | None = None,
    stamps: set[int | None] | None = None,
) -> Iterator["av.video.frame.VideoFrame"]:
    """Yield every frame that decodes, in order of showing; what does not is skipped and noted in `damage`.

    `trimmed[0]` counts packets that the file itself says are not to be shown (edit lists). With `stamps` frames of
    others come only where the decoder needs them for the next.
    """
    import av

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError as error:
            damage.append(f"it cannot be read to its end: {error.strerror}")
            packet = None
        if packet is not None and packet.is_corrupt:
            damage.append("it breaks off")
            continue
        if packet is not None and packet.is_discard and trimmed is not None:
            trimmed[0] += 1
        if stamps is not None and packet is not None:
            needed = packet.pts is None or packet.pts in stamps
            stream.codec_context.skip_frame = "DEFAULT" if needed else "NONREF"
        try:
            yield from stream.decode(packet)
        except av.EOFError:
            return  # the flushing packet of `demux` had already emptied the decoder
        except av.FFmpegError as error:
            damage.append(f"parts of it do not decode: {error.strerror}")
        if packet is None:
            return
