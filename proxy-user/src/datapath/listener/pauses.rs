//! What keeps workers from accepting, said once however many of them it stops and however long.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::super::tally::{Failure, Tally, lock};
use crate::journal::{Journal, Kind};

/// Time for connections to end and give back what the process ran out of.
const PAUSE: Duration = Duration::from_millis(100);

/// Without a pause for so long, the listener is said to be well again.
const QUIET: Duration = Duration::from_secs(5);

pub struct Pauses {
    journal: Journal,
    tally: Arc<Tally>,
    /// The newest pause of a run of them, which is two events however long it is.
    newest: Mutex<Option<Instant>>,
}

impl Pauses {
    pub fn new(journal: Journal, tally: Arc<Tally>) -> Self {
        Self { journal, tally, newest: Mutex::new(None) }
    }

    /// A connection was accepted.
    pub fn are_over(&self) {
        let is_quiet = |newest: &mut Instant| newest.elapsed() >= QUIET;
        let ended = lock(&self.newest).take_if(is_quiet);
        if ended.is_some() {
            self.journal.note(Kind::Datapath, "the listener accepts connections again");
        }
    }

    /// A client that gave up costs nothing; a want of descriptors or memory takes a rest.
    pub async fn after(&self, error: &io::Error) {
        if is_about_one_client(error) {
            return self.tally.failed(Failure::AcceptFailed);
        }
        self.tally.failed(Failure::AcceptPaused);
        let now = Instant::now();
        let before = lock(&self.newest).replace(now);
        if before.is_none() {
            let message = format!("the listener cannot accept and pauses: {error}");
            self.journal.warn(Kind::Datapath, message);
        }
        sleep(PAUSE).await;
    }
}

fn is_about_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, TimedOut};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | TimedOut)
}
