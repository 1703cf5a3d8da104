//! wrk: HTTP over TLS, on connections that stay.

use std::net::SocketAddr;

use crate::bench::figure::What;

const THREADS: u8 = 2;
pub(crate) const CONNECTIONS: u8 = 32;

pub(super) fn arguments(to: SocketAddr) -> Vec<String> {
    let line = format!("--latency -t {THREADS} -c {CONNECTIONS} -d 1s https://{to}/");
    line.split(' ').map(str::to_owned).collect()
}

/// `None` where it says something else, or that anything failed.
pub(super) fn parse(said: &str) -> Option<[(What, f64); 3]> {
    let after = |name: &str| said.lines().find_map(|line| line.trim().strip_prefix(name));
    if after("Socket errors:").is_some() || after("Non-2xx").is_some() {
        return None;
    }
    let rate = after("Requests/sec:")?.trim().parse().ok()?;
    Some([
        (What::Rate, rate),
        (What::P50, micros(after("50%")?)?),
        (What::P99, micros(after("99%")?)?),
    ])
}

fn micros(text: &str) -> Option<f64> {
    let text = text.trim();
    let at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(at);
    let factor = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "Running 1s test @ https://10.0.10.10:443/\n  2 threads and 32 connections\n  \
                        Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency   521.20us  \
                        1.02ms  20.81ms   93.51%\n  Latency Distribution\n     50%  245.00us\n     \
                        75%  401.00us\n     90%    1.10ms\n     99%    4.96ms\n  98765 requests in \
                        1.10s, 3.77MB read\nRequests/sec:  89786.36\nTransfer/sec:  3.42MB\n";

    #[test]
    fn rate_and_latency_are_read_in_whichever_unit() {
        let expected = [(What::Rate, 89786.36), (What::P50, 245.0), (What::P99, 4960.0)];
        assert_eq!(parse(SAID), Some(expected));
    }

    #[test]
    fn what_failed_is_no_measurement() {
        let failed = SAID.replace("98765", "Socket errors: connect 0, read 3\n98765");
        assert_eq!(parse(&failed), None);
        let refused = SAID.replace("Requests/sec", "  Non-2xx or 3xx responses: 7\nRequests/sec");
        assert_eq!(parse(&refused), None);
        assert_eq!(parse("unable to connect"), None);
    }
}
