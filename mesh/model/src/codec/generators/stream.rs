//! Random rules for connections.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::route::backend;
use super::{block, name, text};
use crate::{Forward, SniHost, StreamMatch, StreamRule};

fn sni_host() -> impl Strategy<Value = SniHost> {
    prop_oneof![
        "[a-z0-9-]{1,6}(\\.[a-z0-9]{1,3}){0,2}".prop_map(|name| SniHost::Exact(name.into())),
        "[a-z0-9-]{1,6}(\\.[a-z0-9]{1,3}){0,2}".prop_map(|name| SniHost::Under(name.into())),
    ]
}

fn stream_match() -> impl Strategy<Value = StreamMatch> {
    (vec(sni_host(), 0..3), option::of(name()), vec(block(), 0..3), vec(block(), 0..3)).prop_map(
        |(sni_hosts, source_namespace, source_subnets, destination_subnets)| StreamMatch {
            sni_hosts,
            source_namespace,
            source_subnets,
            destination_subnets,
        },
    )
}

pub(super) fn stream_rule() -> impl Strategy<Value = StreamRule> {
    (text(), vec(stream_match(), 0..3), vec(backend(), 0..3))
        .prop_map(|(name, matches, backends)| StreamRule { name, matches, forward: Forward { backends } })
}
