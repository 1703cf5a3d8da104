//! Both sides speak at once, and one goes on when the other has ended.

use std::time::Duration;

use vm_tests::{Service, Topic};

use crate::{
    crowd::crowd,
    relayed::{relayed, served},
    setting::within,
};

const SOON: Duration = Duration::from_secs(60);

#[tokio::test]
async fn every_byte_arrives_that_follows_the_clients_end_a_hundred_times() {
    let mut lab = relayed("last_word", &[], |options| options.service = Service::Talk).await;
    let topic = Topic { said: 100, last_word: 300_000 };
    let client = lab.client();
    within("all conversations", SOON, client.talk(10, 10, topic))
        .await
        .expect("every byte of each");
    is_counted(&mut lab, 100).await;
    lab.done().await;
}

#[tokio::test]
async fn a_thousand_connections_at_once_on_which_both_sides_speak_first() {
    let _crowd = crowd().await;
    let mut lab = relayed("all_at_once", &[], |options| options.service = Service::Talk).await;
    let topic = Topic { said: 5000, last_word: 2000 };
    let client = lab.client();
    within("all conversations", SOON, client.talk(1, 1000, topic))
        .await
        .expect("every byte of each");
    is_counted(&mut lab, 1000).await;
    lab.done().await;
}

async fn is_counted(lab: &mut crate::setting::Scenario, connections: u64) {
    assert_eq!(served(lab), connections);
    let ended = |status: &proxy_user::status::Status| status.listener.open == 0;
    let status = lab.until("all have ended", SOON, ended).await;
    assert_eq!((status.listener.relayed, &status.listener.failures), (connections, &[].into()));
}
