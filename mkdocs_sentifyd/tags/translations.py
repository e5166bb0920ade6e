"""The texts of the launcher, in the languages that the component supports."""
# ruff: noqa: RUF001 - other languages have other characters

from __future__ import annotations

from typing import NamedTuple

__all__ = ["WORDS", "Words"]


class Words(NamedTuple):
    """Texts in one language.

    Attributes:
        label: label of the button for an avatar without a name.
        named: label of the button for an avatar with a `{name}`.
        loading: shown while the avatar loads.
        failed: shown when the avatar cannot load.
    """

    label: str
    named: str
    loading: str
    failed: str


WORDS = {
    "en": Words(
        "Talk to the avatar",
        "Talk to {name}",
        "Loading …",
        "The avatar cannot be reached. Please try again.",
    ),
    "fr": Words(
        "Parler à l’avatar",
        "Parler à {name}",
        "Chargement …",
        "L’avatar est injoignable. Veuillez réessayer.",
    ),
    "de": Words(
        "Mit dem Avatar sprechen",
        "Mit {name} sprechen",
        "Wird geladen …",
        "Der Avatar ist nicht erreichbar. Bitte versuchen Sie es noch einmal.",
    ),
    "es": Words(
        "Hablar con el avatar",
        "Hablar con {name}",
        "Cargando …",
        "No se puede conectar con el avatar. Inténtelo de nuevo.",
    ),
    "ar": Words(
        "تحدّث مع الشخصية الرقمية",
        "تحدّث مع {name}",
        "جارٍ التحميل …",
        "تعذّر الاتصال بالشخصية الرقمية. يُرجى المحاولة مرة أخرى.",
    ),
    "zh": Words("与虚拟形象对话", "与 {name} 对话", "正在加载……", "无法连接到虚拟形象，请重试。"),
}
