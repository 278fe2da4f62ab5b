//! Sessions by the clock, and what clients are told of them.

use http::Request;

use super::*;

fn sessions(change: impl FnOnce(&mut SessionPersistence)) -> Sessions {
    let mut asked = SessionPersistence {
        name: Some("sid".into()),
        carrier: SessionCarrier::Cookie,
        absolute_timeout: None,
        idle_timeout: None,
        permanent: false,
    };
    change(&mut asked);
    Sessions::compile(&asked, "HTTPRoute/shop/reviews/0").unwrap()
}

fn head(name: &str, value: &str) -> Parts {
    Request::builder().header(name, value).body(()).unwrap().into_parts().0
}

#[test]
fn gep_1619_sessions_end_when_they_are_old_or_unused() {
    let token = Token { began: 100, used: 150, bond: 7 };
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let endless = sessions(|_| {});
    let absolute = sessions(|it| it.absolute_timeout = seconds(100));
    let idle = sessions(|it| it.idle_timeout = seconds(20));
    for (sessions, now, expected) in [
        (&endless, 1_000_000, true),
        (&endless, 90, true),
        (&endless, 89, false),
        (&absolute, 199, true),
        (&absolute, 200, false),
        (&idle, 169, true),
        (&idle, 170, false),
    ] {
        let cookie = head("cookie", &format!("a=b; sid={}", token.write()));
        assert_eq!(sessions.find(&cookie, now), expected.then_some(token), "{sessions:?} {now}");
    }
}

#[test]
fn gep_1619_what_is_no_session_is_none() {
    let sessions = sessions(|it| it.carrier = SessionCarrier::Header);
    let text = Token { began: 1, used: 1, bond: 1 }.write();
    assert!(sessions.find(&head("sid", &text), 5).is_some());
    for (name, value) in
        [("sid", "x"), ("sid", &text[1..]), ("other", &text), ("cookie", &format!("sid={text}"))]
    {
        assert!(sessions.find(&head(name, value), 5).is_none(), "{name}: {value}");
    }
}

#[test]
fn gep_1619_clients_are_told_what_they_do_not_know() {
    let known = Some(Token { began: 100, used: 150, bond: 7 });
    let endless = sessions(|_| {});
    assert_eq!(endless.renew(known, 7, 160), None);
    assert_eq!(endless.renew(known, 8, 160), Some(Token { began: 160, used: 160, bond: 8 }));
    assert_eq!(endless.renew(None, 7, 160), Some(Token { began: 160, used: 160, bond: 7 }));
    let idle = sessions(|it| it.idle_timeout = Some(Duration::from_secs(20)));
    assert_eq!(idle.renew(known, 7, 160), Some(Token { began: 100, used: 160, bond: 7 }));
    assert_eq!(idle.renew(known, 7, 150), None);
}

#[test]
fn gep_1619_only_permanent_cookies_say_how_long_they_last() {
    let told = |permanent| {
        let sessions = sessions(|it| {
            it.permanent = permanent;
            it.absolute_timeout = Some(Duration::from_secs(100));
        });
        let mut headers = HeaderMap::new();
        sessions.tell(Token { began: 50, used: 60, bond: 7 }, 60, &mut headers);
        headers[SET_COOKIE].to_str().unwrap().split_once("; ").unwrap().1.to_owned()
    };
    assert_eq!(told(false), "Path=/; HttpOnly");
    assert_eq!(told(true), "Path=/; HttpOnly; Max-Age=90");
}

#[test]
fn a_session_without_a_name_has_one_by_its_rule() {
    let Carrier::Cookie(name) = sessions(|it| it.name = None).carrier else { panic!("no cookie") };
    assert!(name.starts_with("adit-session-") && name.len() == 21, "{name}");
}
