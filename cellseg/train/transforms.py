"""Random changes of how a training image looks: laboratories, stains, cameras, focus. Floor 4: arrays only."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cellseg.network_config import AugmentSettings
from cellseg.types import Stain

Float = NDArray[np.float32]

# Ruifrok and Johnston 2001: OD of hematoxylin, eosin and DAB in red, green and blue
_DYES = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]], np.float32)


def jitter_appearance(pixels: Float, stain: Stain, settings: AugmentSettings, rng: np.random.Generator) -> Float:
    """`pixels` (H, W, 3), 0..1, as another laboratory might have taken them; the same shape and range."""
    out = _fluorescence(pixels, settings, rng) if stain == "fluorescence" else _stained(pixels, settings, rng)
    out = _focus(out, settings, rng)
    if rng.random() < settings.inversion:
        out = 1 - out
    return np.clip(out, 0, 1).astype(np.float32)


def _fluorescence(pixels: Float, settings: AugmentSettings, rng: np.random.Generator) -> Float:
    """Exposure, camera curve, uneven light, haze; now and then shown in colour."""
    s = settings.intensity
    out = np.power(pixels, np.exp(rng.normal(0, 0.3 * s)), dtype=np.float32)
    out = out * np.float32(rng.uniform(1 - 0.4 * s, 1 + 0.3 * s)) + np.float32(rng.uniform(-0.03, 0.12) * s)
    if rng.random() < 0.3 * s:
        out = out * _slope(pixels.shape[:2], rng)
    if rng.random() < 0.2 * s:
        haze = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(8, 20)))
        out = out + np.float32(rng.uniform(0.1, 0.5)) * haze
    if rng.random() < 0.1 * s:
        tint = rng.uniform(0, 1, 3).astype(np.float32)
        out = out * (tint / tint.max())
    return out


def _stained(pixels: Float, settings: AugmentSettings, rng: np.random.Generator) -> Float:
    """Other dyes and doses, other white balance, another camera."""
    s = settings.intensity
    out = pixels
    if rng.random() < 0.8 and settings.stain > 0:
        out = _restain(out, settings.stain, rng)
    if rng.random() < 0.5 and settings.stain > 0:
        out = _recolour(out, settings.stain, rng)
    gain = np.exp(rng.normal(0, 0.08 * s, 3)).astype(np.float32) * np.float32(np.exp(rng.normal(0, 0.08 * s)))
    out = np.power(np.clip(out, 0, 1), np.exp(rng.normal(0, 0.2 * s)), dtype=np.float32) * gain
    contrast = np.float32(np.exp(rng.normal(0, 0.15 * s)))
    out = (out - out.mean()) * contrast + out.mean() + np.float32(rng.normal(0, 0.04 * s))
    if rng.random() < settings.gray:
        out = np.repeat(out.mean(axis=2, keepdims=True), 3, axis=2)
    if rng.random() < 0.15 * s:
        out = out * _slope(pixels.shape[:2], rng)
    return np.asarray(out, np.float32)


def _restain(pixels: Float, strength: float, rng: np.random.Generator) -> Float:
    """The amounts of dye, shown in other dyes and doses (after Tellez et al. 2018, IEEE TMI)."""
    density = -np.log(np.clip(pixels, 1 / 255, 1))
    dyes = _DYES / np.linalg.norm(_DYES, axis=1, keepdims=True)
    amounts = density.reshape(-1, 3) @ np.linalg.inv(dyes)
    dose = np.exp(rng.normal(0, 0.3 * strength, 3)).astype(np.float32)
    base = rng.normal(0, 0.03 * strength, 3).astype(np.float32)
    others = np.clip(dyes + rng.normal(0, 0.10 * strength, (3, 3)), 0, None).astype(np.float32)
    others /= np.maximum(np.linalg.norm(others, axis=1, keepdims=True), 1e-3)
    shown = np.exp(-((amounts * dose + base) @ others))
    return np.asarray(np.clip(shown, 0, 1).reshape(pixels.shape), np.float32)


def _recolour(pixels: Float, strength: float, rng: np.random.Generator) -> Float:
    """Hue turned by up to some tens of degrees, saturation scaled."""
    hsv = cv2.cvtColor(np.clip(pixels, 0, 1), cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + np.float32(rng.normal(0, 14 * strength))) % 360
    hsv[..., 1] = np.clip(hsv[..., 1] * np.float32(np.exp(rng.normal(0, 0.35 * strength))), 0, 1)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.float32)


def _focus(pixels: Float, settings: AugmentSettings, rng: np.random.Generator) -> Float:
    """Blur or sharpening, noise of photons and camera, JPEG blocks."""
    out, chance = pixels, rng.random()
    if chance < 0.35 * settings.blur:
        out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.3, 1.6)))
    elif chance < 0.45 * settings.blur:
        out = out + np.float32(rng.uniform(0.3, 1.0)) * (out - cv2.GaussianBlur(out, (0, 0), 1.0))
    if rng.random() < 0.35 * settings.noise:
        noise = rng.standard_normal((*out.shape[:2], 1) if rng.random() < 0.5 else out.shape, dtype=np.float32)
        amount = np.float32(rng.uniform(0.005, 0.06))
        out = out + noise * amount * (np.sqrt(np.clip(out, 0, 1)) if rng.random() < 0.5 else np.float32(1))
    if rng.random() < 0.15 * settings.jpeg:
        coded = cv2.imencode(
            ".jpg", (np.clip(out, 0, 1) * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))]
        )[1]
        out = np.asarray(cv2.imdecode(coded, cv2.IMREAD_UNCHANGED), np.float32) / np.float32(255)
    return out


def _slope(shape: tuple[int, ...], rng: np.random.Generator) -> Float:
    """(H, W, 1): light that falls off across the field."""
    y, x = np.meshgrid(np.linspace(-1, 1, shape[0]), np.linspace(-1, 1, shape[1]), indexing="ij")
    angle, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.35)
    return np.asarray(1 + depth * (np.cos(angle) * y + np.sin(angle) * x), np.float32)[..., None]
