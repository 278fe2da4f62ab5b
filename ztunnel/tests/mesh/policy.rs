//! Policies are enforced at the destination, whatever way a connection comes,
//! and for as long as it lasts.

use anyhow::Result;
use mesh_model::{
    Action, Clause, Identity, Match, Policy, PolicyKey, Rule, Scope, StringMatch, TunnelProtocol, Workload,
};
use mesh_testkit::node::Echo;

use crate::world::{World, echoed, ended_by_reset, eventually};

const APP: u16 = 8080;

/// A policy of the pods' namespace about one identity, or about everyone.
fn policy(name: &str, action: Action, who: Option<&Identity>) -> Policy {
    let matches = match who {
        Some(who) => {
            let principals = vec![StringMatch::Exact(who.principal().into())];
            vec![Match { principals, ..Match::default() }]
        }
        None => Vec::new(),
    };
    Policy {
        key: PolicyKey::new("default", name),
        scope: Scope::Namespace,
        action,
        rules: vec![Rule { clauses: vec![Clause { matches }] }],
        dry_run: false,
    }
}

#[tokio::test]
async fn l4_01_02_05_only_who_is_allowed_gets_in_and_the_log_says_why_not() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let friend = world.captured(1, "friend").await?;
    let stranger = world.captured(1, "stranger").await?;
    let outsider = world.uncaptured(1, "outsider").await?;
    let server = world.captured(2, "server").await?;
    let _echo = Echo::start(server.netns(), server.at(APP))?;
    for client in [&friend, &stranger, &outsider] {
        eventually(|| client.echoes(server.at(APP))).await?;
    }

    world.controller().publish(&policy("friends", Action::Allow, Some(&friend.identity())));
    for client in [&stranger, &outsider] {
        eventually(|| client.is_refused(server.at(APP))).await?;
        // The first may have been let in and cut by the change itself.
        client.is_refused(server.at(APP)).await?;
    }
    friend.echoes(server.at(APP)).await?;
    let denied = "connection closed due to policy rejection: allow policies exist, but none allowed";
    for (field, value) in [
        ("src.identity", stranger.identity().to_string()),
        ("src.workload", outsider.workload.name.to_string()),
    ] {
        let line = world.logged(2, "connection complete", &[(field, &value), ("error", denied)]).await?;
        assert_eq!(line["level"], "error");
        assert_eq!(line["direction"], "inbound");
    }

    world.controller().publish(&policy("no-friends", Action::Deny, Some(&friend.identity())));
    eventually(|| friend.is_refused(server.at(APP))).await?;
    friend.is_refused(server.at(APP)).await?;
    let denied = "connection closed due to policy rejection: explicitly denied by: default/no-friends";
    world.logged(2, "connection complete", &[("error", denied)]).await?;
    Ok(())
}

#[tokio::test]
async fn l4_14_a_policy_change_cuts_live_connections_it_denies_and_no_others() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let friend = world.captured(1, "friend").await?;
    let stranger = world.captured(1, "stranger").await?;
    let outsider = world.uncaptured(1, "outsider").await?;
    let server = world.captured(2, "server").await?;
    let _echo = Echo::start(server.netns(), server.at(APP))?;
    let mut open = Vec::new();
    for client in [&friend, &stranger, &outsider] {
        eventually(|| client.echoes(server.at(APP))).await?;
        let mut stream = client.connect(server.at(APP)).await?;
        echoed(&mut stream, "hello").await?;
        open.push(stream);
    }
    // A change that denies nobody here cuts nobody.
    let nobody = Identity::new("cluster.local", "default", "nobody");
    world.controller().publish(&policy("nobody", Action::Deny, Some(&nobody)));
    world.controller().publish(&policy("friends", Action::Allow, Some(&friend.identity())));

    let [friend_open, stranger_open, outsider_open] = open.as_mut_slice() else { unreachable!() };
    assert!(ended_by_reset(stranger_open).await?, "a cut must not look like an end");
    assert!(ended_by_reset(outsider_open).await?, "a cut must not look like an end");
    echoed(friend_open, "still here").await?;
    let changed = "connection closed due to policy change: allow policies exist, but none allowed";
    for field in [("src.workload", "stranger"), ("src.workload", "outsider")] {
        world.logged(2, "connection complete", &[field, ("error", changed)]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn l4_14_a_workload_that_comes_to_name_a_policy_is_judged_by_it_at_once() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let mut server = world.captured(2, "server").await?;
    let _echo = Echo::start(server.netns(), server.at(APP))?;
    let deny = Policy { scope: Scope::WorkloadSelector, ..policy("selected", Action::Deny, None) };
    world.controller().publish(&deny);
    eventually(|| client.echoes(server.at(APP))).await?;
    let mut stream = client.connect(server.at(APP)).await?;
    echoed(&mut stream, "hello").await?;
    server.workload.authorization_policies.push(deny.key.clone());
    world.controller().publish(&server.workload);
    assert!(ended_by_reset(&mut stream).await?);
    Ok(())
}

#[tokio::test]
async fn l4_03_a_policy_that_selects_a_pod_outside_the_mesh_has_no_effect() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let deny = Policy { scope: Scope::WorkloadSelector, ..policy("selected", Action::Deny, None) };
    world.controller().publish(&deny);
    let selected = |workload: &mut Workload| workload.authorization_policies.push(deny.key.clone());
    let inside = world.place(2, "inside", selected).await?;
    world.enrol(&inside).await?;
    let outside = world
        .place(2, "outside", |workload| {
            selected(workload);
            workload.tunnel = TunnelProtocol::Tcp;
        })
        .await?;
    let _echoes =
        [Echo::start(inside.netns(), inside.at(APP))?, Echo::start(outside.netns(), outside.at(APP))?];
    eventually(|| client.is_refused(inside.at(APP))).await?;
    client.echoes(outside.at(APP)).await?;
    client.is_refused(inside.at(APP)).await
}

#[tokio::test]
async fn l4_27_a_gateway_is_let_in_by_its_identity_and_to_the_ports_of_the_policy() -> Result<()> {
    const CLOSED: u16 = 8085;
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let gateway = world.captured(1, "gateway").await?;
    let other = world.captured(1, "other").await?;
    let server = world.captured(2, "server").await?;
    let _echoes = [APP, CLOSED].map(|port| Echo::start(server.netns(), server.at(port)).unwrap());
    for client in [&gateway, &other] {
        eventually(|| client.echoes(server.at(CLOSED))).await?;
    }
    let principals = vec![StringMatch::Exact(gateway.identity().principal().into())];
    let matches = vec![Match { principals, destination_ports: vec![APP], ..Match::default() }];
    let rules = vec![Rule { clauses: vec![Clause { matches }] }];
    world.controller().publish(&Policy { rules, ..policy("gateway", Action::Allow, None) });
    eventually(|| gateway.is_refused(server.at(CLOSED))).await?;
    gateway.is_refused(server.at(CLOSED)).await?;
    other.is_refused(server.at(APP)).await?;
    gateway.echoes(server.at(APP)).await
}

#[tokio::test]
async fn l4_13_dry_run_policies_only_speak() -> Result<()> {
    let variables = [("AUTHZ_POLICY_INFO_LOGGING", "true")];
    let Some(mut world) = World::start_with(&variables).await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let server = world.captured(2, "server").await?;
    let _echo = Echo::start(server.netns(), server.at(APP))?;
    let rehearsal = Policy { dry_run: true, ..policy("rehearsal", Action::Deny, None) };
    world.controller().publish(&rehearsal);
    eventually(|| async {
        client.echoes(server.at(APP)).await?;
        let log = world.raw_log(2);
        anyhow::ensure!(log.contains("dry-run: deny policy match") && log.contains("default/rehearsal"), log);
        Ok(())
    })
    .await
}
