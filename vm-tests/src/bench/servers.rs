//! The hosts of the load generator's servers, and how many connections they have: a load is over when
//! the last connection of it is, for what it leaves would be the next one's burden.

use std::{fs, time::Duration};

use anyhow::Context as _;
use tokio::time::{Instant, sleep};

use crate::place::Inside;

/// For queues to run empty. Nothing tells when that is so: it is asked again until it is.
const PATIENCE: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(20);

pub(crate) struct Servers(Vec<Inside>);

impl Servers {
    pub(crate) fn new(hosts: Vec<Inside>) -> Self {
        Self(hosts)
    }

    /// Sockets of IPv4 connections, and those that listen.
    pub(crate) async fn open(&self) -> anyhow::Result<u64> {
        let mut open = 0;
        for host in &self.0 {
            open += host.run(async { in_use() }).await?;
        }
        Ok(open)
    }

    /// Until they have no more than so many. Returns how many more have stayed: a client's reset is
    /// sent but once, and where it was dropped its server never hears of it.
    pub(crate) async fn until(&self, most: u64) -> anyhow::Result<u64> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let more = self.open().await?.saturating_sub(most);
            if more == 0 || Instant::now() > deadline {
                return Ok(more);
            }
            sleep(AGAIN).await;
        }
    }
}

/// Of the namespace of the thread that looks (`sockstat_seq_show` in net/ipv4/proc.c).
fn in_use() -> anyhow::Result<u64> {
    const FILE: &str = "/proc/thread-self/net/sockstat";
    let text = fs::read_to_string(FILE).with_context(|| format!("reading {FILE}"))?;
    parse(&text).with_context(|| format!("{FILE}: begins otherwise than expected: {text}"))
}

fn parse(text: &str) -> Option<u64> {
    let tcp = text.lines().find_map(|line| line.strip_prefix("TCP: inuse "))?;
    tcp.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_and_those_that_rest_are_not() {
        let text = "sockets: used 99\nTCP: inuse 7 orphan 0 tw 12 alloc 9 mem 1\nUDP: inuse 2\n";
        assert_eq!(parse(text), Some(7));
        assert_eq!(parse("UDP: inuse 2"), None);
    }
}
