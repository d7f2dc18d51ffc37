"""The renderer's inner loops, compiled: vertices to pixels of a depth-tested picture in linear light."""

import numba
import numpy as np


@numba.njit(cache=True, fastmath=True)
def deform(neutral, shapes, chosen, weights):  # type: ignore[no-untyped-def]  # pragma: no cover
    """`neutral` (v, 3) and, of the offsets `shapes` (k, v, 3), the `chosen` ones by their `weights`."""
    out = neutral.copy()
    for j in range(len(chosen)):
        shape, weight = shapes[chosen[j]], weights[j]
        for i in range(out.shape[0]):
            out[i, 0] += weight * shape[i, 0]
            out[i, 1] += weight * shape[i, 1]
            out[i, 2] += weight * shape[i, 2]
    return out


@numba.njit(cache=True, fastmath=True)
def vertex_normals(vertices, triangles):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Unit normals (v, 3), averaged over the triangles of each vertex by their area."""
    normals = np.zeros_like(vertices)
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t]
        ax, ay, az = (vertices[j, 0] - vertices[i, 0], vertices[j, 1] - vertices[i, 1], vertices[j, 2] - vertices[i, 2])
        bx, by, bz = (vertices[k, 0] - vertices[i, 0], vertices[k, 1] - vertices[i, 1], vertices[k, 2] - vertices[i, 2])
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        for corner in (i, j, k):
            normals[corner, 0] += nx
            normals[corner, 1] += ny
            normals[corner, 2] += nz
    for i in range(normals.shape[0]):
        length = np.sqrt(normals[i, 0] ** 2 + normals[i, 1] ** 2 + normals[i, 2] ** 2)
        scale = 1 / max(length, np.float32(1e-9))
        normals[i, 0] *= scale
        normals[i, 1] *= scale
        normals[i, 2] *= scale
    return normals


@numba.njit(cache=True, fastmath=True)
def shade(albedo, vertices, normals, light, ambient, shadow):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Lambert's law: a key light from `light` (3,), a weak fill from the camera, and ambient light. `shadow` (6,) is a
    plane's normal and place in cm, the width of its edge in cm, and the share of the key light that is lost beyond
    it."""
    out = np.empty_like(albedo)
    for i in range(albedo.shape[0]):
        key = max(normals[i, 0] * light[0] + normals[i, 1] * light[1] + normals[i, 2] * light[2], 0)
        beyond = vertices[i, 0] * shadow[0] + vertices[i, 1] * shadow[1] + vertices[i, 2] * shadow[2] - shadow[3]
        covered = min(max(beyond / shadow[4] + 0.5, 0), 1)
        level = ambient + 0.75 * key * (1 - shadow[5] * covered) + 0.25 * max(normals[i, 2], 0)
        for c in range(albedo.shape[1]):
            out[i, c] = albedo[i, c] * level
    return out


@numba.njit(cache=True)
def rasterize(points, triangles, colours, canvas, depth):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Draw triangles that face the camera into `canvas` (h, w, c), nearest first by `depth` (h, w). `points` (v, 3) are
    x, y in pixels and z; `colours` (v, c) are interpolated."""
    height, width = depth.shape
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t]
        ax, ay, bx, by, cx, cy = points[i, 0], points[i, 1], points[j, 0], points[j, 1], points[k, 0], points[k, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area >= 0:  # y points down: counter-clockwise in space is clockwise here
            continue
        top, bottom = max(int(np.ceil(min(ay, by, cy) - 0.5)), 0), min(int(max(ay, by, cy) + 0.5), height)
        left, right = max(int(np.ceil(min(ax, bx, cx) - 0.5)), 0), min(int(max(ax, bx, cx) + 0.5), width)
        for y in range(top, bottom):
            for x in range(left, right):
                px, py = x + 0.5, y + 0.5
                u = ((bx - px) * (cy - py) - (by - py) * (cx - px)) / area
                v = ((cx - px) * (ay - py) - (cy - py) * (ax - px)) / area
                w = 1 - u - v
                if u < 0 or v < 0 or w < 0:
                    continue
                z = u * points[i, 2] + v * points[j, 2] + w * points[k, 2]
                if z > depth[y, x]:
                    depth[y, x] = z
                    for c in range(canvas.shape[2]):
                        canvas[y, x, c] = u * colours[i, c] + v * colours[j, c] + w * colours[k, c]


@numba.njit(cache=True)
def capsule(canvas, depth, start, end, radius, colour, softness):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Draw a rounded stroke from `start` to `end` (3,): x, y in pixels and z, nearest first by `depth`; with z at
    infinity it covers all. `softness` in [0, 1] is how far it darkens towards its edge."""
    height, width = depth.shape
    top, bottom = min(start[1], end[1]) - radius, max(start[1], end[1]) + radius
    left, right = min(start[0], end[0]) - radius, max(start[0], end[0]) + radius
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = max(dx * dx + dy * dy, 1e-9)
    for y in range(max(int(top), 0), min(int(bottom) + 1, height)):
        for x in range(max(int(left), 0), min(int(right) + 1, width)):
            px, py = x + 0.5 - start[0], y + 0.5 - start[1]
            along = min(max((px * dx + py * dy) / length, 0), 1)
            off = ((px - along * dx) ** 2 + (py - along * dy) ** 2) / (radius * radius)
            z = start[2] + along * (end[2] - start[2]) if np.isfinite(start[2]) else start[2]
            if off <= 1 and z >= depth[y, x]:
                depth[y, x] = z
                for c in range(canvas.shape[2]):
                    canvas[y, x, c] = colour[c] * (1 - softness * off)
