//! The guest's way to say things.

use std::{
    fs::OpenOptions,
    io::{Write, stdout},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::Context as _;

use super::said::Said;

/// Silence for much longer means that nothing runs any more.
const BEAT: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub(super) struct Report(Arc<Mutex<Box<dyn Write + Send>>>);

impl Report {
    pub(super) fn open(to: Option<&Path>) -> anyhow::Result<Self> {
        let to: Box<dyn Write + Send> = match to {
            None => Box::new(stdout()),
            Some(path) => {
                let file = OpenOptions::new().create(true).append(true).open(path);
                Box::new(file.with_context(|| format!("--to: {}", path.display()))?)
            }
        };
        Ok(Self(Arc::new(Mutex::new(to))))
    }

    /// Who cannot be heard has nobody to tell that to.
    pub(super) fn say(&self, said: &Said) {
        let mut line = serde_json::to_vec(said).expect("plain data");
        line.push(b'\n');
        let mut to = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        to.write_all(&line).and_then(|()| to.flush()).ok();
    }

    /// From here on, a sign of life now and then.
    pub(super) fn beat(&self) {
        let report = self.clone();
        thread::spawn(move || {
            loop {
                thread::sleep(BEAT);
                report.say(&Said::Alive);
            }
        });
    }
}
