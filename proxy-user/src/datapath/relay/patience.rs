//! How long a way may move nothing once the other has ended.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};

/// Made only when it is needed: most connections never have a timer.
pub struct Patience {
    timer: Pin<Box<Sleep>>,
    limit: Duration,
    /// What had moved when the timer was set.
    seen: u64,
}

impl Patience {
    pub fn new(limit: Duration, moved: u64) -> Self {
        Self { timer: Box::pin(sleep(limit)), limit, seen: moved }
    }

    /// Ready once nothing has moved for the whole limit.
    pub fn poll_end(&mut self, moved: u64, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(context));
            if moved == self.seen {
                return Poll::Ready(());
            }
            self.seen = moved;
            self.timer.as_mut().reset(Instant::now() + self.limit);
        }
    }
}
