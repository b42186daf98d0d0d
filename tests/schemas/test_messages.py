from __future__ import annotations

from localassist.schemas.messages import MessageCreate, normalise_content


def test_a_string_is_one_text_part() -> None:
    [part] = normalise_content("hi")
    assert part.dump() == {"type": "text", "text": {"value": "hi", "annotations": []}}


def test_parts_keep_their_order_and_shape() -> None:
    body = MessageCreate.model_validate(
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "http://x"}},
                {"type": "text", "text": ""},
                {"type": "image_file", "image_file": {"file_id": "file-1", "detail": "high"}},
            ],
        }
    )
    assert [part.dump() for part in normalise_content(body.content)] == [
        {"type": "image_url", "image_url": {"url": "http://x"}},
        {"type": "text", "text": {"value": "", "annotations": []}},
        {"type": "image_file", "image_file": {"file_id": "file-1", "detail": "high"}},
    ]
