//! What was promised, as ratios within one run, and what came of it.

use std::fmt;

use proxy_common::addr::Family;

use super::{
    contender::Contender::{self, Handover, Haproxy, Nftables, Nginx, Plain, Relay, Sockmap, Tcx},
    figure::{Figure, What},
    load::Direction,
    packets::{BUSY, Case, Hook, Kind, LARGE},
    report::Report,
    stats::Summary,
    workload::Workload,
};

pub(crate) struct Goal {
    pub what: String,
    pub wanted: String,
    pub result: Result<Measured, String>,
}

pub(crate) struct Measured {
    /// Of what it is compared with, or by itself where it is compared with a number.
    pub value: f64,
    pub verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Met,
    Missed,
    /// The median is on the right side, and what was measured reaches to the other one.
    MetWithinNoise,
    MissedWithinNoise,
}

#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

pub(crate) fn goals(report: &Report) -> Vec<Goal> {
    let mut goals = Vec::new();
    for workload in bulk() {
        let rate = Figure { workload, what: What::Rate };
        goals.push(between(report, Tcx, rate, Bound::AtLeast(0.97), &[Plain]));
        goals.push(between(report, Tcx, rate, Bound::AtLeast(1.0), &[Nftables]));
    }
    for connections in [1, 32] {
        let workload = Workload::Ping { size: 64, connections };
        for (what, limit) in [(What::P50, 1.05), (What::P99, 1.10)] {
            let figure = Figure { workload, what };
            goals.push(between(report, Tcx, figure, Bound::AtMost(limit), &[Plain]));
        }
    }
    let connects = Figure { workload: Workload::Connects, what: What::Rate };
    goals.push(between(report, Tcx, connects, Bound::AtLeast(1.0), &[Nftables]));
    goals.extend(programs(report));
    for workload in bulk().into_iter().chain(rates()) {
        let rate = Figure { workload, what: What::Rate };
        goals.push(between(report, Relay, rate, Bound::AtLeast(1.1), &[Haproxy, Nginx]));
    }
    goals.extend(handover(report));
    let memory = Figure { workload: Workload::Idle, what: What::Memory };
    goals.push(between(report, Relay, memory, Bound::AtMost(0.5), &[Haproxy]));
    for workload in bulk() {
        let rate = Figure { workload, what: What::Rate };
        goals.push(between(report, Sockmap, rate, Bound::AtLeast(1.0), &[Relay]));
    }
    let table = Figure { workload: Workload::Idle, what: What::Table };
    goals.push(alone(report, Tcx, table, 300.0));
    let rotation = |what| Figure { workload: Workload::Rotation, what };
    goals.push(alone(report, Tcx, rotation(What::Failed), 0.0));
    goals.push(alone(report, Tcx, rotation(What::FirstNewTold), 100.0));
    goals
}

fn bulk() -> Vec<Workload> {
    let of = |direction| [1, 8, 64].map(|streams| Workload::Bulk { direction, streams });
    [of(Direction::Down), of(Direction::Up)].concat()
}

fn rates() -> Vec<Workload> {
    let sizes = [64, 16384].into_iter();
    let pings =
        sizes.flat_map(|size| [1, 32].map(|connections| Workload::Ping { size, connections }));
    pings.chain([Workload::Connects, Workload::Handshakes, Workload::Crowd]).collect()
}

/// What is handed over costs what packets cost, and what is not, what a relay costs.
fn handover(report: &Report) -> Vec<Goal> {
    let messages = [1, 32].map(|connections| Workload::Ping { size: 64, connections });
    let as_packets = bulk().into_iter().chain(messages).map(|workload| (workload, Tcx));
    let with_relay = as_packets.chain([(Workload::Connects, Relay)]);
    let goal = |(workload, other)| {
        let rate = Figure { workload, what: What::Rate };
        between(report, Handover, rate, Bound::AtLeast(0.9), &[other])
    };
    with_relay.map(goal).collect()
}

/// On an established flow, over IPv4, with a full segment.
fn programs(report: &Report) -> Vec<Goal> {
    let cost = |hook, flows, busy| {
        let case = Case { hook, family: Family::V4, kind: Kind::Data, flows, busy };
        report.packets.cost(case)
    };
    let goal = |what: &str, own, bound: Bound, than: &str, other| {
        let result = own_and_other(own, other, bound).ok_or_else(|| "not measured".to_owned());
        Goal { what: what.to_owned(), wanted: format!("{bound} {than}"), result }
    };
    let small = cost(Hook::Tc, BUSY, BUSY);
    let large = |busy| cost(Hook::Tc, LARGE, busy);
    let (limit, than) = (Bound::AtMost(1.5), "× with 1 k flows");
    let xdp = cost(Hook::Xdp, BUSY, BUSY);
    vec![
        goal("TC, established, 1 k flows", small, Bound::AtMost(150.0), "ns", Some(Summary::ONE)),
        goal("TC, established, 1 M flows, all busy", large(LARGE), limit, than, small),
        goal("TC, established, 1 M flows, 1 k of them busy", large(BUSY), limit, than, small),
        goal("XDP, established, 1 k flows", xdp, Bound::AtMost(0.6), "× TC's", small),
    ]
}

/// With the better of the others.
fn between(
    report: &Report,
    contender: Contender,
    figure: Figure,
    bound: Bound,
    others: &[Contender],
) -> Goal {
    let names: Vec<_> = others.iter().map(Contender::to_string).collect();
    let medians = others.iter().filter_map(|other| report.summary(*other, figure));
    let better = medians.max_by(|one, other| match bound {
        Bound::AtLeast(_) => one.median.total_cmp(&other.median),
        Bound::AtMost(_) => other.median.total_cmp(&one.median),
    });
    let own = report.summary(contender, figure);
    let result = own_and_other(own, better, bound).ok_or_else(|| "not measured".to_owned());
    let what = format!("`{contender}`: {}, {}", figure.workload, figure.name());
    Goal { what, wanted: format!("{bound} × {}", names.join(" and ")), result }
}

fn alone(report: &Report, contender: Contender, figure: Figure, most: f64) -> Goal {
    let bound = Bound::AtMost(most);
    let own = report.summary(contender, figure);
    let result = own_and_other(own, Some(Summary::ONE), bound);
    let what = format!("`{contender}`: {}, {}", figure.workload, figure.name());
    let wanted = format!("{bound} {}", figure.unit());
    Goal { what, wanted, result: result.ok_or_else(|| "not measured".to_owned()) }
}

fn own_and_other(own: Option<Summary>, other: Option<Summary>, bound: Bound) -> Option<Measured> {
    let (own, other) = own.zip(other)?;
    let value = own.median / other.median;
    let (limit, right_side) = match bound {
        Bound::AtLeast(limit) => (limit, value >= limit),
        Bound::AtMost(limit) => (limit, value <= limit),
    };
    let overlaps = own.min <= other.max * limit && other.min * limit <= own.max;
    // One number for all rounds, on the limit.
    let exact = own.min == own.max && other.min == other.max;
    let verdict = match (right_side, overlaps && !exact) {
        (true, false) => Verdict::Met,
        (false, false) => Verdict::Missed,
        (true, true) => Verdict::MetWithinNoise,
        (false, true) => Verdict::MissedWithinNoise,
    };
    Some(Measured { value, verdict })
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(limit) => write!(f, "≥ {limit}"),
            Self::AtMost(limit) => write!(f, "≤ {limit}"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Met => "met",
            Self::Missed => "**not met**",
            Self::MetWithinNoise => "met, within the noise",
            Self::MissedWithinNoise => "noise: not met by the median",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(own: &[f64], other: &[f64], bound: Bound) -> Verdict {
        own_and_other(Summary::of(own), Summary::of(other), bound).expect("values").verdict
    }

    #[test]
    fn a_goal_is_met_missed_or_lost_in_the_noise() {
        let plain = [10.0, 10.1, 9.9];
        let at_least = Bound::AtLeast(0.9);
        assert_eq!(verdict(&[9.5, 9.6, 9.4], &plain, at_least), Verdict::Met);
        assert_eq!(verdict(&[5.0, 5.1, 4.9], &plain, at_least), Verdict::Missed);
        assert_eq!(verdict(&[9.2, 9.3, 8.0], &plain, at_least), Verdict::MetWithinNoise);
        assert_eq!(verdict(&[8.5, 9.3, 8.0], &plain, at_least), Verdict::MissedWithinNoise);
    }

    #[test]
    fn less_is_better_where_a_goal_says_so() {
        let at_most = Bound::AtMost(0.5);
        assert_eq!(verdict(&[4.0, 4.1], &[10.0, 10.0], at_most), Verdict::Met);
        assert_eq!(verdict(&[6.0, 6.1], &[10.0, 10.0], at_most), Verdict::Missed);
        assert_eq!(verdict(&[0.0, 0.0], &[1.0, 1.0], Bound::AtMost(0.0)), Verdict::Met);
    }

    #[test]
    fn the_better_of_two_others_is_the_measure() {
        let report = super::super::report::fixture::report();
        let rate = Figure { workload: super::super::workload::DOWN, what: What::Rate };
        let goal = between(&report, Plain, rate, Bound::AtLeast(1.1), &[Haproxy, Nginx]);
        let measured = goal.result.expect("measured");
        assert!((measured.value - 10.0 / 5.2).abs() < 1e-9, "{}", measured.value);
        assert_eq!(measured.verdict, Verdict::MetWithinNoise);
        let goal = between(&report, Plain, rate, Bound::AtMost(1.5), &[Haproxy, Nginx]);
        let measured = goal.result.expect("measured");
        assert!((measured.value - 10.0 / 5.0).abs() < 1e-9, "less is better: {}", measured.value);
    }
}
