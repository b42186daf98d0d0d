"""Messages that ask nothing of documents: greetings, thanks, and tasks a model does by itself."""

from __future__ import annotations

import re

from localassist.tools.file_search.results import still_read

_LONGEST = 200  # characters; what is longer is neither small talk nor a sum
_GREETING = (
    r"(?:hi|hello|hey|good (?:morning|afternoon|evening|day|night)|greetings|howdy"
    r"|thanks?(?: you)?(?: (?:so|very) much| a lot)?|thx|cheers|great|nice|cool|perfect|awesome"
    r"|ok(?:ay)?|yes|no|sure|bye|goodbye|see you(?: later)?|welcome|sorry|got it|i see"
    r"|that (?:is|was) (?:great|helpful|all|perfect)|well done"
    r"|hallo|guten (?:tag|morgen|abend)|servus|moin|danke(?: (?:schön|sehr|dir|ihnen))?|vielen dank"
    r"|tschüss|auf wiedersehen|prima|bonjour|bonsoir|salut|merci(?: (?:beaucoup|bien))?|au revoir"
    r"|d['’]accord|hola|buenos d[ií]as|(?:muchas )?gracias|adi[oó]s|ciao|grazie(?: mille)?)"
)
_SMALL_TALK = re.compile(
    rf"^\W*{_GREETING}(?:[\s,!.]+(?:{_GREETING}|there|all|everyone|again|dear|assistant|bot|for"
    r" (?:your|the) (?:help|answer)|to you|too))*\W*$",
    re.IGNORECASE,
)
_ABOUT_YOU = re.compile(
    r"^\W*(?:(?:hi|hello|hey)\W+(?:there\W+)?)?"
    r"(?:how are you(?: doing)?(?: today)?|how(?:'s| is) it going|what(?:'s| is) up"
    r"|who are you|what(?:'s| is) your name|what can you do"
    r"|(?:can|could) you help(?: me)?|are you (?:a (?:bot|robot|human|person)|there|an ai)"
    r"|how (?:do|can) you work|tell me about yourself|nice to meet you)\W*$",
    re.IGNORECASE,
)
_MAKING = re.compile(
    r"^\W*(?:please |can you |could you |would you |i want you to )*(?:write|compose|create|invent"
    r"|imagine|make up|draft|translate|rephrase|rewrite|paraphrase|correct|proofread|calculate"
    r"|compute|solve|count to|tell (?:me )?(?:a|another) (?:joke|story|riddle)|sing|rhyme"
    r"|schreibe? (?:mir )?(?:ein|eine|einen|bitte)\b|dichte|übersetze?|erfinde|berechne|rechne"
    r"|écris(?:-moi)? (?:un|une)\b|écrivez|traduis|traduisez|invente|calcule"
    r"|brainstorm|(?:generate|give me|suggest) (?:a|an|some|\d+|three|five|ten) (?:ideas?|names?"
    r"|titles?|poems?|stor(?:y|ies)|jokes?|riddles?))\b",
    re.IGNORECASE,
)
_ARITHMETIC = re.compile(
    r"^\W*(?:what(?:'s| is) |how much is |calculate |compute )?[\d\s.,()^*/×÷+–-]*\d\s*"
    r"(?:[*/×÷^+–-]|plus|minus|times|divided by)\s*[\d\s.,()^*/×÷+–-]+\W*$",
    re.IGNORECASE,
)
# Whoever says so wants it from the documents.
_NAMES_DOCUMENTS = re.compile(
    r"\b(?:documents?|files?|pdfs?|attach(?:ed|ments?)|uploaded|according to|manual|handbook|report"
    r"|contract|paper|article|text|page \d+|section|chapter|slides?|spreadsheet|based on|from the"
    r"|in the|dokument\w*|datei\w*|handbuch|bericht|vertrag|laut|fichiers?|rapport|contrat|selon)\b"
    r"|\.(?:pdf|docx?|pptx?|xlsx?|txt|md|csv|html?)\b",
    re.IGNORECASE,
)
_FILLER = re.compile(
    rf"^\W*(?:{_GREETING}(?: there| all| everyone)?\s*[,!.–-]+\s*)?"
    r"(?:(?:please|kindly|so|ok(?:ay)?|well|now|also)[,\s]+)*"
    r"(?:(?:can|could|would|will) you (?:please |kindly )?(?:tell|explain|show|remind|give|find"
    r"|look up|help)(?: me)?(?: (?:out|understand|about|with))?\s+"
    r"|(?:please )?(?:tell|remind|inform) me (?:about )?"
    r"|i (?:would like|want|need|'d like) to (?:know|ask|find out)(?: about)?[,:]?\s+"
    r"|i(?:'d| would) like to (?:know|ask|find out)(?: about)?[,:]?\s+"
    r"|do you (?:happen to )?know\s+|i (?:was|am) wondering(?: about)?[,:]?\s+"
    r"|(?:i have a |a |one )?(?:quick |short )?question[,:]\s*|please\s+)?",
    re.IGNORECASE,
)
_POLITE_END = re.compile(r"[\s,]*\b(?:please|thanks|thank you|thx)\b\W*$", re.IGNORECASE)


def is_small_talk(message: str) -> bool:
    """Nothing but greetings, thanks, or a question about the assistant itself."""
    said = " ".join(message.split())
    if len(said) > _LONGEST:
        return False
    return not said or bool(_SMALL_TALK.match(said) or _ABOUT_YOU.match(said))


def needs_no_documents(message: str) -> bool:
    """A task such as writing, translating or calculating that names no document."""
    if _NAMES_DOCUMENTS.search(message):
        return False
    is_sum = len(message) <= _LONGEST and _ARITHMETIC.match(message) is not None
    return is_sum or _MAKING.match(message) is not None


def without_fillers(sentence: str) -> str:
    """Without the greeting and the politeness around what is asked."""
    mark = "?" if sentence.rstrip().endswith("?") else ""
    bare = _FILLER.sub("", sentence, count=1)
    shorter = _POLITE_END.sub("", bare)
    return shorter + mark if shorter and not shorter.endswith(mark) else shorter or bare


def nothing_found(question: str, unread: int = 0) -> str | None:
    """What to say when the documents hold nothing about the question; None when it needs none, so
    that the model answers freely. ``unread`` files could not be searched yet."""
    if is_small_talk(question) or needs_no_documents(question):
        return None
    if unread:
        said = "The documents that have been read so far hold nothing about this."
        return f"{said} {still_read(unread)}"
    return "The documents hold nothing about this."
