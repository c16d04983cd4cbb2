"""How SMTP_URL is read, and how we name ourselves."""

import pytest

from services.notifications.mailer import Server, greeting


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://127.0.0.1:8025", Server("127.0.0.1", 8025, None, None, tls=False, start_tls=False)),
        ("smtp://mail.example", Server("mail.example", 25, None, None, tls=False, start_tls=False)),
        (
            "smtp://me%40x:p%2Fw@mail.example?starttls",
            Server("mail.example", 587, "me@x", "p/w", tls=False, start_tls=True),
        ),
        ("smtps://me:pw@mail.example", Server("mail.example", 465, "me", "pw", tls=True, start_tls=False)),
        ("smtp://me:pw@localhost:25", Server("localhost", 25, "me", "pw", tls=False, start_tls=False)),
    ],
)
def test_a_url_says_where_and_how(url: str, server: Server) -> None:
    assert Server.from_url(url) == server


@pytest.mark.parametrize("url", ["mail.example:25", "http://mail.example", "smtp://", "smtp://x?startls"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="SMTP_URL is"):
        Server.from_url(url)


def test_a_password_is_never_sent_in_the_clear_to_another_machine() -> None:
    with pytest.raises(ValueError, match="so that nobody can read it"):
        Server.from_url("smtp://me:pw@mail.example:25")


def test_an_address_is_greeted_with_as_a_literal() -> None:
    assert greeting("127.0.0.1") == "[127.0.0.1]"
    assert greeting("[IPv6:::1]") == "[IPv6:::1]"
    assert greeting("portal.example") == "portal.example"
