//! The rules and routes themselves. Rules are asked in the order of their preference:
//!
//! | | what the pod's sockets send, and what comes with this mark | goes |
//! |---|---|---|
//! | 32762 | of ztunnel; questions of name servers to each other | the usual way |
//! | 32763 | from outside, exchanged to the address that stands for the pod's | to ztunnel |
//! | 32764 | to ztunnel, from sockets that it has connected to | to ztunnel |
//! | 32765 | all other TCP, and questions for names | to the loopback interface |

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::route::{RouteMessage, RouteScope, RouteType};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage, RulePortRange};
use rtnetlink::packet_route::{AddressFamily, IpProtocol};

/// Of what is ztunnel's.
const TABLE: u8 = 100;
/// Of what is steered.
const STEERED_TABLE: u8 = 101;
const PASSING_PREFERENCE: u32 = 32762;
const PLAIN_PREFERENCE: u32 = 32763;
const ANSWERS_PREFERENCE: u32 = 32764;
const STEERED_PREFERENCE: u32 = 32765;
const MAIN_PREFERENCE: u32 = 32766;
/// Marks and the bits they are in.
const PASSING: (u32, u32) = (0x539, 0xfff);
const PLAIN: (u32, u32) = (0x1539, 0x1fff);
const ANSWERS: (u32, u32) = (0x111, 0xfff);
/// Behind the route over loopback, of whatever metric that is.
const BOUND_METRIC: u32 = 2048;
/// The loopback interface is the first of every namespace.
const LOOPBACK: u32 = 1;
const DNS: RulePortRange = RulePortRange { start: 53, end: 53 };

/// Answers to ztunnel's connections with its client's address.
pub(super) fn answers_rule(family: AddressFamily) -> RuleMessage {
    rule(family, ANSWERS_PREFERENCE, (RuleAction::ToTable, TABLE), marked(ANSWERS))
}

/// What must not be steered, and what is brought to ztunnel from outside: nothing has these marks without rules.
pub(super) fn expecting_rules(family: AddressFamily) -> [RuleMessage; 3] {
    let passing = |more: Vec<RuleAttribute>| {
        let matches = more.into_iter().chain([own(), RuleAttribute::Goto(MAIN_PREFERENCE)]);
        rule(family, PASSING_PREFERENCE, (RuleAction::Goto, 0), matches)
    };
    let between_servers = vec![
        RuleAttribute::IpProtocol(IpProtocol::Udp),
        RuleAttribute::SourcePortRange(DNS),
        RuleAttribute::DestinationPortRange(DNS),
    ];
    let plain = rule(family, PLAIN_PREFERENCE, (RuleAction::ToTable, TABLE), marked(PLAIN));
    [passing(marked(PASSING).into()), passing(between_servers), plain]
}

/// Brings what the pod sends by TCP to the loopback interface.
pub(super) fn steering_rule(family: AddressFamily) -> RuleMessage {
    let tcp = RuleAttribute::IpProtocol(IpProtocol::Tcp);
    rule(family, STEERED_PREFERENCE, (RuleAction::ToTable, STEERED_TABLE), [own(), tcp])
}

/// The same for questions for names.
pub(super) fn names_rule(family: AddressFamily) -> RuleMessage {
    let questions = [RuleAttribute::IpProtocol(IpProtocol::Udp), RuleAttribute::DestinationPortRange(DNS)];
    let matches = questions.into_iter().chain([own()]);
    rule(family, STEERED_PREFERENCE, (RuleAction::ToTable, STEERED_TABLE), matches)
}

pub(super) fn is_steering(rule: &RuleMessage) -> bool {
    let preferred = rule.attributes.contains(&RuleAttribute::Priority(STEERED_PREFERENCE));
    preferred && rule.header.table == STEERED_TABLE
}

/// To ztunnel, whatever the destination.
pub(super) fn to_ztunnel(family: AddressFamily) -> RouteMessage {
    everything_local(family, TABLE, Some((LOOPBACK, None)), None)
}

/// Over loopback; `source` is what connections come from that have not chosen.
pub(super) fn steered(family: AddressFamily, source: Option<IpAddr>) -> RouteMessage {
    everything_local(family, STEERED_TABLE, Some((LOOPBACK, None)), source)
}

/// The same for sockets that are bound to `interface`: what is local goes over loopback all the same.
pub(super) fn steered_bound(family: AddressFamily, interface: u32, source: Option<IpAddr>) -> RouteMessage {
    everything_local(family, STEERED_TABLE, Some((interface, Some(BOUND_METRIC + interface))), source)
}

/// Like all of these.
pub(super) fn any_steered(family: AddressFamily) -> RouteMessage {
    everything_local(family, STEERED_TABLE, None, None)
}

/// What a host sends itself comes from its loopback interface, in the eyes of rules.
fn own() -> RuleAttribute {
    RuleAttribute::Iifname("lo".to_owned())
}

fn marked((mark, mask): (u32, u32)) -> [RuleAttribute; 2] {
    [RuleAttribute::FwMark(mark), RuleAttribute::FwMask(mask)]
}

fn rule(
    family: AddressFamily,
    preference: u32,
    (action, table): (RuleAction, u8),
    matches: impl IntoIterator<Item = RuleAttribute>,
) -> RuleMessage {
    let mut rule = RuleMessage::default();
    rule.header.family = family;
    rule.header.table = table;
    rule.header.action = action;
    rule.attributes = vec![RuleAttribute::Priority(preference)];
    rule.attributes.extend(matches);
    rule
}

fn everything_local(
    family: AddressFamily,
    table: u8,
    way: Option<(u32, Option<u32>)>,
    source: Option<IpAddr>,
) -> RouteMessage {
    macro_rules! local {
        ($address:ty, $source:expr) => {{
            let mut route = RouteMessageBuilder::<$address>::new()
                .table_id(u32::from(table))
                .kind(RouteType::Local)
                .scope(RouteScope::Host);
            if let Some((interface, metric)) = way {
                route = route.output_interface(interface);
                if let Some(metric) = metric {
                    route = route.priority(metric);
                }
            }
            match $source {
                Some(source) => route.pref_source(source).build(),
                None => route.build(),
            }
        }};
    }
    let (v4, v6) = match source {
        Some(IpAddr::V4(source)) => (Some(source), None),
        Some(IpAddr::V6(source)) => (None, Some(source)),
        None => (None, None),
    };
    if family == AddressFamily::Inet6 { local!(Ipv6Addr, v6) } else { local!(Ipv4Addr, v4) }
}
