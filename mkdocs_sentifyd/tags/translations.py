"""The texts of the launcher, in the languages that the component supports."""
# ruff: noqa: RUF001 - other languages have other characters

from __future__ import annotations

from typing import NamedTuple

__all__ = ["QUESTION", "WORDS", "Words"]

# The texts of the question for consent, in the order of the page.
QUESTION = ("question", "privacy", "allow", "not_now")


class Words(NamedTuple):
    """Texts in one language.

    Attributes:
        label: label of the button for an avatar without a name.
        named: label of the button for an avatar with a `{name}`.
        loading: shown while the avatar loads.
        failed: shown when the avatar cannot load.
        question: asks for consent; it names no avatar, because names have a grammar of their own.
        privacy: label of the link to the privacy policy.
        allow: label of the button that agrees.
        not_now: label of the button that does not agree.
    """

    label: str
    named: str
    loading: str
    failed: str
    question: str
    privacy: str
    allow: str
    not_now: str


WORDS = {
    "en": Words(
        "Talk to the avatar",
        "Talk to {name}",
        "Loading …",
        "The avatar cannot be reached. Please try again.",
        "Talking to the avatar loads it from Sentifyd. Do you want to allow this?",
        "Privacy policy",
        "Allow",
        "Not now",
    ),
    "fr": Words(
        "Parler à l’avatar",
        "Parler à {name}",
        "Chargement …",
        "L’avatar est injoignable. Veuillez réessayer.",
        "Parler à l’avatar le charge depuis Sentifyd. Voulez-vous l’autoriser ?",
        "Politique de confidentialité",
        "Autoriser",
        "Pas maintenant",
    ),
    "de": Words(
        "Mit dem Avatar sprechen",
        "Mit {name} sprechen",
        "Wird geladen …",
        "Der Avatar ist nicht erreichbar. Bitte versuchen Sie es noch einmal.",
        "Wenn Sie mit dem Avatar sprechen, wird er von Sentifyd geladen. Möchten Sie das erlauben?",
        "Datenschutzerklärung",
        "Erlauben",
        "Nicht jetzt",
    ),
    "es": Words(
        "Hablar con el avatar",
        "Hablar con {name}",
        "Cargando …",
        "No se puede conectar con el avatar. Inténtelo de nuevo.",
        "Al hablar con el avatar, se carga desde Sentifyd. ¿Desea permitirlo?",
        "Política de privacidad",
        "Permitir",
        "Ahora no",
    ),
    "ar": Words(
        "تحدّث مع الشخصية الرقمية",
        "تحدّث مع {name}",
        "جارٍ التحميل …",
        "تعذّر الاتصال بالشخصية الرقمية. يُرجى المحاولة مرة أخرى.",
        "عند التحدّث مع الشخصية الرقمية يتم تحميلها من Sentifyd. هل تسمح بذلك؟",
        "سياسة الخصوصية",
        "السماح",
        "ليس الآن",
    ),
    "zh": Words(
        "与虚拟形象对话",
        "与 {name} 对话",
        "正在加载……",
        "无法连接到虚拟形象，请重试。",
        "与虚拟形象对话时，会从 Sentifyd 加载它。是否允许？",
        "隐私政策",
        "允许",
        "暂不",
    ),
}
