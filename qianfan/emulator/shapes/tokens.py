"""What the calls for tokens take and give."""

from __future__ import annotations

from qianfan.emulator.shapes.vocabulary import Form, Maybe, Obj, OneOf, Text, Whole

_TIME = Text(pattern=r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.000Z")

FORMS: dict[str, Form] = {
    "/oauth/2.0/token": Form(
        takes=Obj(grant_type=OneOf("client_credentials"), client_id=Text(1), client_secret=Text(1)),
        gives=Obj(
            access_token=Text(1),
            expires_in=Whole(1),
            refresh_token=Text(),
            session_key=Text(),
            session_secret=Text(),
            scope=Text(),
        ),
        in_query=True,
    ),
    "/v1/BCE-BEARER/token": Form(
        takes=Obj(expireInSeconds=Maybe(Whole(300, 2_592_000))),
        gives=Obj(userId=Text(1), token=Text(1), status=OneOf("enable"), createTime=_TIME, expireTime=_TIME),
        method="GET",
        in_query=True,
    ),
}
"""By path."""
