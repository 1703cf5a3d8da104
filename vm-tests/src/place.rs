//! Where something runs: a thread with its own runtime, inside a network namespace or not.

use std::{future::Future, sync::Arc, thread};

use anyhow::{Context as _, anyhow};
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
    task::JoinHandle,
};

use crate::netns::Netns;

/// Owns the thread, and the namespace where there is one. Dropping it ends all that runs there.
#[derive(Debug)]
pub(crate) struct Place {
    inside: Inside,
    netns: Option<Arc<Netns>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// A way in, for those who outlive no place but hold none either.
#[derive(Clone, Debug)]
pub(crate) struct Inside(Handle);

impl Place {
    pub(crate) fn namespace(name: &str) -> anyhow::Result<Self> {
        Self::start(name, Some(Arc::new(Netns::create(name)?)))
    }

    pub(crate) fn host(name: &str) -> anyhow::Result<Self> {
        Self::start(name, None)
    }

    pub(crate) fn inside(&self) -> &Inside {
        &self.inside
    }

    pub(crate) fn netns(&self) -> Option<&Arc<Netns>> {
        self.netns.as_ref()
    }

    fn start(name: &str, netns: Option<Arc<Netns>>) -> anyhow::Result<Self> {
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let theirs = netns.clone();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            match runtime_within(theirs.as_deref()) {
                Err(error) => drop(ready.send(Err(error))),
                Ok(runtime) => {
                    drop(ready.send(Ok(runtime.handle().clone())));
                    // Ends as well when the place is dropped without a word.
                    runtime.block_on(stopped).ok();
                }
            }
        })?;
        let handle = is_ready.recv().map_err(|_| anyhow!("the thread of {name} died"))??;
        Ok(Self { inside: Inside(handle), netns, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Inside {
    pub(crate) fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.0.spawn(future)
    }

    /// Runs it there and waits; fails when the place goes away meanwhile.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = anyhow::Result<T>> + Send + 'static,
    ) -> anyhow::Result<T> {
        self.spawn(future).await.context("this part of the lab is down")?
    }
}

fn runtime_within(netns: Option<&Netns>) -> anyhow::Result<tokio::runtime::Runtime> {
    if let Some(netns) = netns {
        netns.enter().context("entering the namespace")?;
    }
    Builder::new_current_thread().enable_all().build().context("starting a runtime")
}
