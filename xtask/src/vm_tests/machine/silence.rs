//! How long a machine may say nothing. It is judged by the processor time that it has taken since:
//! where others keep the host busy, or somebody has stopped it for a while, it is not to blame.

use std::time::{Duration, Instant};

use nix::{
    time::{ClockId, clock_getcpuclockid},
    unistd::Pid,
};

/// For a machine that waits for something and takes no processor time.
pub const LONGEST: Duration = Duration::from_secs(15 * 60);

pub struct Silence {
    clock: Option<ClockId>,
    since: Instant,
    worked: Duration,
}

impl Silence {
    /// Of the process with this id, from now on.
    pub fn of(process: u32) -> Self {
        let id = i32::try_from(process).ok().map(Pid::from_raw);
        let clock = id.and_then(|id| clock_getcpuclockid(id).ok());
        Self { worked: worked(clock), since: Instant::now(), clock }
    }

    /// It has said something.
    pub fn broken(&mut self) {
        (self.since, self.worked) = (Instant::now(), worked(self.clock));
    }

    /// How long it has lasted, once it is too long for a machine that may work for so long.
    pub fn over(&self, work: Duration) -> Option<Duration> {
        let lasted = self.since.elapsed();
        let has_worked = worked(self.clock).saturating_sub(self.worked);
        (has_worked > work || lasted > LONGEST).then_some(lasted)
    }
}

/// All of its threads. A process that has ended works no more.
fn worked(clock: Option<ClockId>) -> Duration {
    clock.and_then(|clock| clock.now().ok()).map(Duration::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    const WORK: Duration = Duration::from_millis(50);
    const DEADLINE: Duration = Duration::from_secs(60);

    fn sh(script: &str) -> Child {
        Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).spawn().expect("a shell")
    }

    impl Silence {
        /// One that is too long by any measure.
        pub fn long() -> Self {
            let since = Instant::now().checked_sub(2 * LONGEST).expect("an uptime of minutes");
            Self { clock: None, since, worked: Duration::ZERO }
        }
    }

    fn end(mut child: Child) {
        child.kill().expect("killed");
        child.wait().expect("its end");
    }

    #[test]
    fn one_that_works_without_a_word_is_silent_for_too_long() {
        let child = sh("while :; do :; done");
        let mut silence = Silence::of(child.id());
        let began = Instant::now();
        while silence.over(WORK).is_none() {
            assert!(began.elapsed() < DEADLINE, "its work is not seen");
        }
        silence.broken();
        assert_eq!(silence.over(DEADLINE), None);
        end(child);
    }

    #[test]
    fn one_that_does_not_get_to_work_is_not_to_blame() {
        let child = sh("read line");
        let mut silence = Silence::of(child.id());
        silence.broken();
        silence.since = Instant::now().checked_sub(LONGEST / 2).expect("an uptime of minutes");
        assert_eq!(silence.over(WORK), None);
        silence.since = silence.since.checked_sub(LONGEST).expect("an uptime of minutes");
        assert!(silence.over(WORK).is_some_and(|lasted| lasted > LONGEST));
        end(child);
    }
}
