//! iperf3: bulk.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;
use tokio::time::sleep;

use super::IPERF3;
use crate::bench::{load::Direction, loader::Loader};

pub(crate) const STREAMS: u8 = 8;
/// A contender takes its time to begin, and a probe that comes in the middle of a test breaks that
/// off: then the next one has the time until the probe after that. With `-J` it exits as if all was
/// well, and what it says is an error.
const PATIENCE: Duration = Duration::from_secs(15);
const AGAIN: Duration = Duration::from_millis(100);

pub(super) fn server() -> Vec<String> {
    // It says when it listens, and is to say so at once.
    ["-s", "-p", "443", "--forceflush"].map(str::to_owned).into()
}

/// Bytes a second.
pub(super) async fn measure(loader: &Loader, direction: Direction) -> anyhow::Result<f64> {
    let to = loader.target();
    let reverse = if direction == Direction::Down { "-R" } else { "" };
    let line = format!("-J -c {} -p {} -t 1 -P {STREAMS} {reverse}", to.ip(), to.port());
    let arguments: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let said = loader.others(IPERF3.program, arguments.clone()).await;
        match said.and_then(|said| parse(&said).with_context(|| format!("iperf3 said: {said}"))) {
            Ok(rate) => return Ok(rate),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => sleep(AGAIN).await,
        }
    }
}

fn parse(said: &str) -> Option<f64> {
    let said: Value = serde_json::from_str(said).ok()?;
    Some(said["end"]["sum_received"]["bits_per_second"].as_f64()? / 8.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_received_counts() {
        let said = r#"{"end":{"sum_sent":{"bits_per_second":9e9},
                       "sum_received":{"bits_per_second":8e9}}}"#;
        assert_eq!(parse(said), Some(1e9));
        assert_eq!(parse(r#"{"error":"the server is busy"}"#), None);
    }
}
