//! What each manifest of this folder does: what is said of its objects, and the answers to a client's calls with it and
//! without. Read by the tests of a local mesh and by those of a cluster; there is nothing but data here.

mod expect;
mod tokens;

pub(crate) use expect::{Expect, numbered};
use tokens::{FORGED, JANE, JOE};

/// A manifest, applied as it is beside `shop.yaml`.
pub(crate) struct Check {
    /// The file.
    pub(crate) manifest: &'static str,
    /// What is said of which objects.
    pub(crate) says: &'static [Saying],
    /// What comes of calls before it is there, and after it has gone.
    pub(crate) without: &'static [Call],
    /// And in between.
    pub(crate) with: &'static [Call],
    /// It names the mesh's extension provider `shop-authorizer`: whoever applies it has to say that this is `shadow`.
    pub(crate) needs_authorizer: bool,
}

/// A condition that is true.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Saying {
    /// The object: version, kind, name.
    pub(crate) object: (&'static str, &'static str, &'static str),
    pub(crate) condition: &'static str,
    pub(crate) reason: &'static str,
}

/// Calls of one URL with the options of `adit echo call`, again and again until they are as expected.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    /// Of the client. `{n}` is another number at each attempt.
    pub(crate) url: &'static str,
    /// Further options.
    pub(crate) options: &'static [&'static str],
    /// Called all the while beside it.
    pub(crate) beside: Option<&'static str>,
    /// Called once afterwards; what counts is its answer.
    pub(crate) then: Option<&'static str>,
    pub(crate) expect: Expect,
}

const fn call(url: &'static str, options: &'static [&'static str], expect: Expect) -> Call {
    Call { url, options, beside: None, then: None, expect }
}

const fn reviews(options: &'static [&'static str], expect: Expect) -> Call {
    call("http://reviews/", options, expect)
}

const fn check(
    manifest: &'static str,
    says: &'static [Saying],
    without: &'static [Call],
    with: &'static [Call],
) -> Check {
    Check { manifest, says, without, with, needs_authorizer: false }
}

const fn saying(
    version: &'static str,
    kind: &'static str,
    name: &'static str,
    condition: &'static str,
    reason: &'static str,
) -> Saying {
    Saying { object: (version, kind, name), condition, reason }
}

const fn route(condition: &'static str) -> Saying {
    saying("gateway.networking.k8s.io/v1", "HTTPRoute", "reviews", condition, condition)
}

const fn networking(
    kind: &'static str,
    name: &'static str,
    condition: &'static str,
    reason: &'static str,
) -> Saying {
    saying("networking.istio.io/v1", kind, name, condition, reason)
}

const fn security(kind: &'static str, name: &'static str) -> Saying {
    saying("security.istio.io/v1", kind, name, "WaypointAccepted", "Accepted")
}

const ROUTE: &[Saying] = &[route("Accepted"), route("ResolvedRefs")];
const VIRTUAL_SERVICE: &[Saying] = &[
    networking("VirtualService", "reviews", "Accepted", "Accepted"),
    networking("VirtualService", "reviews", "ResolvedRefs", "ResolvedRefs"),
];
const RULE: &[Saying] = &[networking("DestinationRule", "reviews", "Accepted", "Accepted")];
const POLICY: Saying = security("AuthorizationPolicy", "reviews");
const TOKENS: Saying = security("RequestAuthentication", "reviews");

const RULE_AND_ROUTES: &[Saying] = &[RULE[0], VIRTUAL_SERVICE[0], VIRTUAL_SERVICE[1]];
const TOKENS_AND_ROUTES: &[Saying] = &[TOKENS, VIRTUAL_SERVICE[0], VIRTUAL_SERVICE[1]];

const TESTER: [&str; 2] = ["-H", "x-user-group:testers"];
const SLOWLY: Call = call("http://reviews/?delay=1500ms", &[], Expect::Status(200));
const MIRRORED: Call = Call {
    url: "http://reviews/copied-{n}",
    options: &["-n20"],
    beside: None,
    then: Some("http://shadow/stats"),
    expect: Expect::Says(200, &["/copied-{n}"]),
};
const CROWDED: Call = Call {
    url: "http://reviews/",
    options: &["-n20", "--interval=50ms"],
    beside: Some("http://reviews/?delay=2s"),
    then: None,
    expect: Expect::Overflow,
};
const PREFLIGHT: &[&str] =
    &["-X", "OPTIONS", "-H", "origin:https://shop.example", "-H", "access-control-request-method:GET"];
const OF_THE_SHOP: &[&str] = &["-H", "origin:https://shop.example"];
const ALLOWED_ORIGIN: &str = "access-control-allow-origin";
/// Whoever is asked by the provider's protocol answers as the query says.
const ASKED: &str = "http://reviews/private?status=401";

/// Without any of them, requests are spread evenly over what is labelled as `reviews`, and go through the waypoint.
pub(crate) const PLAIN: Call = call("http://reviews/", &["-n200"], Expect::Even);
/// The waypoint is in the way.
pub(crate) const L7: Call = call("http://reviews/", &["-n5"], Expect::Says(200, &["x-request-id"]));

/// All of them.
pub(crate) const CHECKS: [Check; 16] = [
    check("canary.yaml", ROUTE, &[PLAIN], &[reviews(&["-n200"], Expect::Seldom("v2"))]),
    check(
        "subsets.yaml",
        RULE_AND_ROUTES,
        &[call("http://reviews/v2", &["-n40"], Expect::Both), PLAIN],
        &[
            call("http://reviews/v2", &["-n40"], Expect::Version("v2")),
            reviews(&["-n200"], Expect::Seldom("v2")),
        ],
    ),
    check(
        "ab-by-header.yaml",
        ROUTE,
        &[reviews(&TESTER, Expect::NoHeader("x-variant")), reviews(&["-n40"], Expect::Both)],
        &[
            reviews(&["-n40", TESTER[0], TESTER[1]], Expect::Version("v2")),
            reviews(&TESTER, Expect::Header("x-variant", "b")),
            reviews(&["-n40"], Expect::Version("v1")),
            // GW-06: by its own name the service behind has no route.
            call("http://reviews-v1/", &TESTER, Expect::Version("v1")),
        ],
    ),
    check(
        "claims.yaml",
        TOKENS_AND_ROUTES,
        &[reviews(&["-n40", "-H", JANE], Expect::Both), reviews(&["-H", FORGED], Expect::Status(200))],
        &[
            reviews(&["-n40", "-H", JANE], Expect::Version("v2")),
            reviews(&["-n40", "-H", JOE], Expect::Version("v1")),
            reviews(&["-n40"], Expect::Version("v1")),
            reviews(&["-H", FORGED], Expect::Status(401)),
        ],
    ),
    check(
        "mirroring.yaml",
        VIRTUAL_SERVICE,
        &[Call { expect: Expect::Silent("/copied-{n}"), ..MIRRORED }],
        &[MIRRORED, reviews(&["-n40"], Expect::Both)],
    ),
    check(
        "faults.yaml",
        VIRTUAL_SERVICE,
        &[
            reviews(&["-n3", "-H", "x-fault:abort"], Expect::Status(200)),
            reviews(&["-H", "x-fault:delay"], Expect::Status(200)),
        ],
        &[
            reviews(&["-n3", "-H", "x-fault:abort"], Expect::Status(418)),
            reviews(&["-H", "x-fault:delay"], Expect::Slow(1000.0)),
            reviews(&["-n5"], Expect::Status(200)),
        ],
    ),
    // What fails twice does so for each request anew, so that nothing but trying again makes it good.
    check(
        "retries-and-timeouts.yaml",
        VIRTUAL_SERVICE,
        &[call("http://reviews/?fail=2&code=500", &[], Expect::Status(500)), SLOWLY],
        &[
            call("http://reviews/?fail=2&code=500", &["-n3"], Expect::Says(200, &["\"version\":\"v1\""])),
            Call { expect: Expect::Status(504), ..SLOWLY },
        ],
    ),
    check(
        "circuit-breaker.yaml",
        RULE,
        &[Call { expect: Expect::Status(200), ..CROWDED }],
        &[CROWDED, reviews(&["-n3"], Expect::Status(200))],
    ),
    check(
        "outlier-detection.yaml",
        RULE,
        &[call("http://reviews/?status=500", &[], Expect::Status(500)), reviews(&["-n40"], Expect::Both)],
        &[
            call("http://reviews/?status=500", &[], Expect::Status(500)),
            reviews(&["-n40"], Expect::OneVersion),
        ],
    ),
    check(
        "cors.yaml",
        VIRTUAL_SERVICE,
        &[
            reviews(PREFLIGHT, Expect::NoHeader("access-control-allow-methods")),
            reviews(OF_THE_SHOP, Expect::NoHeader(ALLOWED_ORIGIN)),
        ],
        &[
            reviews(PREFLIGHT, Expect::Header("access-control-allow-methods", "GET,POST")),
            reviews(OF_THE_SHOP, Expect::Header(ALLOWED_ORIGIN, "https://shop.example")),
            reviews(&["-H", "origin:https://elsewhere.example"], Expect::NoHeader(ALLOWED_ORIGIN)),
        ],
    ),
    check(
        "rewrite-and-redirect.yaml",
        ROUTE,
        &[
            call("http://reviews/old/page?x=1", &[], Expect::Says(200, &["\"/old/page\""])),
            call("http://reviews/moved", &[], Expect::Status(200)),
        ],
        &[
            call("http://reviews/old/page?x=1", &[], Expect::Says(200, &["\"/new/page\"", "\"x=1\""])),
            call("http://reviews/moved", &[], Expect::Status(301)),
            call("http://reviews/moved", &[], Expect::Header("location", "http://reviews/there")),
            call("http://reviews/elsewhere", &[], Expect::Status(404)),
        ],
    ),
    check(
        "allow-get.yaml",
        &[POLICY],
        &[
            call("http://reviews/other", &["-n3"], Expect::Status(200)),
            call("http://reviews/public/page", &["-X", "POST"], Expect::Status(200)),
        ],
        &[
            call("http://reviews/other", &["-n3"], Expect::Status(403)),
            call("http://reviews/public/page", &["-n3"], Expect::Status(200)),
            call("http://reviews/public/page", &["-X", "POST"], Expect::Status(403)),
        ],
    ),
    check(
        "jwt.yaml",
        &[TOKENS, POLICY],
        &[reviews(&["-n3"], Expect::Status(200)), reviews(&["-H", FORGED], Expect::Silent("\"x-user\""))],
        &[
            reviews(&["-n3"], Expect::Status(403)),
            reviews(&["-n3", "-H", JANE], Expect::Says(200, &["\"x-user\":\"jane\""])),
            reviews(&["-H", JOE], Expect::Status(403)),
            reviews(&["-H", FORGED], Expect::Status(401)),
            call("http://reviews/healthz", &[], Expect::Status(200)),
        ],
    ),
    Check {
        needs_authorizer: true,
        ..check(
            "custom.yaml",
            &[POLICY],
            &[call(ASKED, &[], Expect::Says(401, &["\"service\":\"reviews"]))],
            &[
                call(ASKED, &[], Expect::Says(401, &["\"service\":\"shadow\""])),
                call("http://reviews/private", &["-n3"], Expect::Says(200, &["\"service\":\"reviews"])),
                call("http://reviews/?status=401", &[], Expect::Says(401, &["\"service\":\"reviews"])),
            ],
        )
    },
    check(
        "egress.yaml",
        &[
            networking("ServiceEntry", "partner", "Accepted", "Accepted"),
            networking("ServiceEntry", "partner", "istio.io/WaypointBound", "WaypointAccepted"),
            security("AuthorizationPolicy", "partner"),
        ],
        &[call("http://partner.shop.example/", &[], Expect::Nobody)],
        &[
            call("http://partner.shop.example/", &["-n3"], Expect::Says(200, &["x-request-id", "shadow"])),
            call("http://partner.shop.example/", &["-X", "POST"], Expect::Status(403)),
        ],
    ),
    check(
        "egress-tls.yaml",
        &[
            networking("ServiceEntry", "payments", "Accepted", "Accepted"),
            networking("DestinationRule", "payments", "Accepted", "Accepted"),
        ],
        &[call("http://payments.example/", &[], Expect::Nobody)],
        &[call(
            "http://payments.example/",
            &["-n3"],
            Expect::Says(
                200,
                &["x-request-id", "\"serverName\":\"payments.example\"", "\"service\":\"outside\""],
            ),
        )],
    ),
];
