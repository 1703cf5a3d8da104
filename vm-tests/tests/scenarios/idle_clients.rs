//! An ENI dies while clients are connected that have nothing to say.

use std::{collections::BTreeMap, io::ErrorKind, net::SocketAddr, time::Duration};

use vm_tests::{Client, Held};

use crate::setting::{Scenario, dual_stack_with, flags, live, within};

const CONNECTIONS: usize = 25;
/// Three probes must fail, and the resets are spread over a while.
const NOTICED: Duration = Duration::from_secs(10);

type ByEni = BTreeMap<SocketAddr, Vec<Held>>;

#[tokio::test]
async fn idle_clients_of_a_dead_eni_are_reset_and_no_others() {
    let mut lab = dual_stack_with("idle_clients", |options| {
        options.agent_flags.extend(flags(&["--reset-window", "500ms"]));
    })
    .await;
    lab.until("all live", Duration::from_secs(5), |status| live(status) == 6).await;
    let mut v4 = hold(&lab, &lab.client()).await;
    let mut v6 = hold(&lab, &lab.client_v6().expect("a client")).await;

    let dead = lab.enis()[0].address();
    lab.enis()[0].link_down().await.expect("a link that goes down");
    let mut resets = 0;
    for family in [&mut v4, &mut v6] {
        let orphans = family.remove(&dead).expect("some of them came to this ENI");
        resets += orphans.len();
        within("a reset of each", NOTICED, all_are_reset(orphans)).await;
    }
    said_so(&mut lab, resets).await;
    for held in v4.values_mut().chain(v6.values_mut()).flatten() {
        within("an echo", Duration::from_secs(5), held.echo()).await.expect("it goes on");
    }
    assert_eq!(lab.status().await.listener.accepted, 0, "the kernel carried all of it");
    lab.done().await;
}

async fn hold(lab: &Scenario, client: &Client) -> ByEni {
    let mut by_eni = ByEni::new();
    for _ in 0..CONNECTIONS {
        let held = within("a connection", Duration::from_secs(5), lab.hold(client)).await;
        let (eni, held) = held.expect("an echo");
        by_eni.entry(eni).or_default().push(held);
    }
    assert_eq!(by_eni.len(), lab.enis().len(), "each ENI has some");
    by_eni
}

async fn all_are_reset(orphans: Vec<Held>) {
    for held in orphans {
        assert_eq!(held.how_it_ends().await, Some(ErrorKind::ConnectionReset));
    }
}

/// The two families may die in one round or in two.
async fn said_so(lab: &mut Scenario, resets: usize) {
    let said = |message: &str| -> usize {
        let count = message.strip_suffix(" RSTs sent").and_then(|m| m.split_once(" connections"));
        count.map_or(0, |(count, _)| count.parse().expect("a number"))
    };
    lab.until("the agent counts them", Duration::from_secs(5), |status| {
        status.events.iter().map(|event| said(&event.message)).sum::<usize>() == resets
    })
    .await;
}
