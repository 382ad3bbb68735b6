"""The OpenGL backend of the renderer: moderngl on EGL (no screen), four samples a pixel.

Separate so that machines without any GL never import it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmpfit.synthesis.shading import FAR_M, NEAR_M, Floats, Light, Mesh, shade

_BLOCK = 64  # buffers are made in steps of this many pixels, and so many are kept
_KEPT = 8
_VERTEX = """
#version 330
uniform vec2 size;
in vec3 pixel;
in vec3 color;
out vec3 lit;
out float meters;
void main() {
    float n = %f, f = %f, z = pixel.z;
    lit = color;
    meters = z;
    gl_Position = vec4((2.0 * pixel.xy / size - 1.0) * z, (z * (f + n) - 2.0 * f * n) / (f - n), z);
}
""" % (NEAR_M, FAR_M)  # noqa: UP031 (the braces of the shader)
_COLOR = """
#version 330
in vec3 lit;
out vec4 fragment;
void main() { fragment = vec4(lit, 1.0); }
"""
_DEPTH = """
#version 330
in float meters;
out float fragment;
void main() { fragment = meters; }
"""


class OpenGL:
    """See `renderer.Renderer`. A context belongs to the thread that made it."""

    def __init__(self) -> None:
        import moderngl

        self._gl = moderngl
        self._context = moderngl.create_standalone_context(backend="egl")  # type: ignore[arg-type]
        self._context.enable(moderngl.DEPTH_TEST)
        self._color = self._context.program(vertex_shader=_VERTEX, fragment_shader=_COLOR)
        self._depth = self._context.program(vertex_shader=_VERTEX, fragment_shader=_DEPTH)
        self._buffers: dict[tuple[int, int, str], tuple[Any, Any]] = {}

    @property
    def name(self) -> str:
        """What draws: the driver's name of its device."""
        return str(self._context.info["GL_RENDERER"])

    def draw(
        self, mesh: Mesh, normals: Floats, clip: Floats, size: tuple[int, int], light: Light, smooth: bool
    ) -> NDArray[np.uint8]:
        """Return RGBA [h, w, 4], colors multiplied with the coverage; not `smooth`, the mean color where nothing is."""
        many, single = self._framebuffers(size, "smooth" if smooth else "plain")
        many.use()
        many.viewport = (0, 0, *size)
        colors = shade(mesh.colors, normals, mesh.vertices, light)
        many.clear(*((0.0, 0.0, 0.0) if smooth else colors.mean(axis=0).tolist()), 0.0, depth=1.0)
        self._submit(self._color, np.concatenate((clip, colors), axis=1), ("pixel", "color"), "3f 3f", mesh, size)
        if smooth:
            self._context.copy_framebuffer(single, many)
        data = single.read(viewport=(0, 0, *size), components=4, alignment=1)
        return np.frombuffer(data, np.uint8).reshape(size[1], size[0], 4)

    def depth(self, mesh: Mesh, clip: Floats, size: tuple[int, int]) -> NDArray[np.float32]:
        """Return meters [h, w], infinite where nothing is."""
        _, single = self._framebuffers(size, "depth")
        single.use()
        single.viewport = (0, 0, *size)
        single.clear(np.inf, depth=1.0)
        self._submit(self._depth, clip, ("pixel",), "3f", mesh, size)
        data = single.read(viewport=(0, 0, *size), components=1, alignment=1, dtype="f4")
        return np.frombuffer(data, np.float32).reshape(size[1], size[0])

    def _submit(
        self, program: Any, values: Floats, names: tuple[str, ...], layout: str, mesh: Mesh, size: tuple[int, int]
    ) -> None:
        program["size"] = size
        points = self._context.buffer(np.ascontiguousarray(values, dtype="f4").tobytes())
        faces = self._context.buffer(np.ascontiguousarray(mesh.faces, dtype="i4").tobytes())
        array = self._context.vertex_array(program, [(points, layout, *names)], faces)
        array.render(self._gl.TRIANGLES)
        for thing in (array, faces, points):
            thing.release()

    def _framebuffers(self, size: tuple[int, int], kind: str) -> tuple[Any, Any]:
        """Return the buffer to draw into and the one to read from, which differ when edges are smoothed."""
        width, height = (-(-side // _BLOCK) * _BLOCK for side in size)
        key = (width, height, kind)
        if key not in self._buffers:
            if len(self._buffers) >= _KEPT:
                for old in {id(buffer): buffer for buffer in self._buffers.pop(next(iter(self._buffers)))}.values():
                    old.release()
            context, whole = self._context, (width, height)
            color = context.renderbuffer(whole, 1, dtype="f4") if kind == "depth" else context.renderbuffer(whole, 4)
            single = context.framebuffer(color, context.depth_renderbuffer(whole))
            many = single
            if kind == "smooth":
                many = context.framebuffer(
                    context.renderbuffer(whole, 4, samples=4), context.depth_renderbuffer(whole, samples=4)
                )
            self._buffers[key] = (many, single)
        return self._buffers[key]
