//! A connection to an echo server that is held open: silent until it is asked for an echo.

use std::{io, time::Duration};

use anyhow::{bail, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

pub struct Held {
    stream: TcpStream,
    next: u64,
}

impl Held {
    pub(crate) async fn start(stream: TcpStream) -> anyhow::Result<Self> {
        let mut held = Self { stream, next: fastrand::u64(..) };
        held.echo().await?;
        Ok(held)
    }

    /// A number that nobody else has sent goes and comes back.
    pub async fn echo(&mut self) -> anyhow::Result<()> {
        let number = self.next;
        self.stream.write_u64(number).await?;
        let echo = self.stream.read_u64().await?;
        ensure!(echo == number, "{echo} came back for {number}");
        self.next = number.wrapping_add(1);
        Ok(())
    }

    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Ends our side, and then the other one does.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        self.stream.shutdown().await?;
        ensure!(self.stream.read(&mut [0]).await? == 0, "a byte more than was sent");
        Ok(())
    }

    /// Waits for the other side to end it, and sends nothing; `None` if it ended without an error.
    pub async fn how_it_ends(mut self) -> Option<io::ErrorKind> {
        self.stream.read(&mut [0]).await.err().map(|error| error.kind())
    }

    /// An echo, a pause, and again.
    pub fn pulse(mut self, pause: Duration) -> Pulse {
        let (stop, mut stopped) = watch::channel(false);
        let (count, echoes) = watch::channel(0);
        let task = tokio::spawn(async move {
            while timeout(pause, stopped.wait_for(|stopped| *stopped)).await.is_err() {
                self.echo().await?;
                count.send_modify(|count| *count += 1);
            }
            Ok(self)
        });
        Pulse { stop, echoes, task }
    }
}

/// Like a watch: a little to and fro, for as long as it is not stopped or dropped.
pub struct Pulse {
    stop: watch::Sender<bool>,
    echoes: watch::Receiver<u64>,
    task: JoinHandle<anyhow::Result<Held>>,
}

impl Pulse {
    /// Waits for so many more echoes.
    pub async fn more(&mut self, echoes: u64) -> anyhow::Result<()> {
        let goal = *self.echoes.borrow() + echoes;
        if self.echoes.wait_for(|count| *count >= goal).await.is_ok() {
            return Ok(());
        }
        (&mut self.task).await??;
        bail!("it was stopped")
    }

    /// The connection, of which no echo was missing.
    pub async fn stop(mut self) -> anyhow::Result<Held> {
        self.stop.send_replace(true);
        (&mut self.task).await?
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.task.abort();
    }
}
