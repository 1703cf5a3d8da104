//! Everything that a run has measured.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{
    contender::Contender,
    figure::{Figure, What},
    load::Failures,
    machine::Machine,
    packets::{Cost, Packets},
    site,
    stats::Summary,
    workload::Workload,
};

/// One contender in one round.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub figures: Vec<(Figure, f64)>,
    pub failures: Failures,
    /// Part of the machine that others had just before, 0 to 1.
    pub busy_before: Option<f64>,
}

impl Run {
    pub(crate) fn add(&mut self, workload: Workload, what: What, value: f64) {
        self.figures.push((Figure { workload, what }, value));
    }
}

#[derive(Debug)]
pub(crate) struct Report {
    pub machine: Machine,
    pub rounds: usize,
    pub contenders: BTreeMap<Contender, Results>,
    pub versions: BTreeMap<Contender, String>,
    /// The eBPF programs by themselves.
    pub packets: Packets,
    pub busy_before: Vec<f64>,
    /// Contenders that are not installed.
    pub missing: Vec<String>,
    /// Rounds of contenders that came to no result.
    pub broken: Vec<String>,
}

/// Of one contender, over all rounds.
#[derive(Debug, Default)]
pub(crate) struct Results {
    pub figures: BTreeMap<Figure, Vec<f64>>,
    pub failures: Failures,
}

impl Report {
    pub(crate) fn new(machine: Machine, rounds: usize) -> Self {
        let (contenders, versions) = (BTreeMap::new(), BTreeMap::new());
        let packets = Packets::default();
        let (busy_before, missing, broken) = (Vec::new(), Vec::new(), Vec::new());
        Self { machine, rounds, contenders, versions, packets, busy_before, missing, broken }
    }

    pub(crate) fn summary(&self, contender: Contender, figure: Figure) -> Option<Summary> {
        Summary::of(self.contenders.get(&contender)?.figures.get(&figure)?)
    }

    /// What a contender adds to what the same load takes where nobody is in the way. Both ends of all
    /// connections are in that, and the router, and the proxy host as far as it forwards.
    pub(crate) fn subtract_plain(&mut self) {
        let Some(plain) = self.contenders.get(&Contender::Plain) else { return };
        let medians = plain.figures.iter().filter_map(|(figure, values)| {
            let what = figure.what.beyond_plain()?;
            Some((*figure, Figure { what, ..*figure }, Summary::of(values)?.median))
        });
        for (figure, beyond, plain) in medians.collect::<Vec<_>>() {
            for (contender, results) in &mut self.contenders {
                if *contender != Contender::Plain
                    && let Some(values) = results.figures.get(&figure)
                {
                    let values = values.iter().map(|value| value - plain).collect();
                    results.figures.insert(beyond, values);
                }
            }
        }
    }

    pub(crate) fn add(&mut self, contender: Contender, run: Run) {
        let results = self.contenders.entry(contender).or_default();
        for (figure, value) in run.figures {
            results.figures.entry(figure).or_default().push(figure.in_unit(value));
        }
        results.failures.absorb(&run.failures);
        self.busy_before.extend(run.busy_before);
    }

    /// Everybody who was wanted took part in every round.
    pub(crate) fn is_whole(&self) -> bool {
        self.missing.is_empty() && self.broken.is_empty()
    }

    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(&self.json())?;
        fs::write(file, text + "\n").with_context(|| format!("writing {}", file.display()))
    }

    fn json(&self) -> Value {
        let contenders = self.contenders.iter().map(|(contender, results)| {
            let figures: Vec<_> = results.figures.iter().map(figure_json).collect();
            json!({
                "name": contender.to_string(),
                "version": self.versions.get(contender),
                "settings": contender.settings(&site::backends()),
                "figures": figures,
                "failures": results.failures,
            })
        });
        json!({
            "machine": self.machine,
            "rounds": self.rounds,
            "busy_with_others": self.busy_before,
            "contenders": contenders.collect::<Vec<_>>(),
            "packets": self.packets.costs.iter().map(cost_json).collect::<Vec<_>>(),
            "programs": self.packets.instructions,
            "missing": self.missing,
            "broken": self.broken,
        })
    }
}

fn cost_json(cost: &Cost) -> Value {
    json!({
        "case": cost.case.to_string(),
        "unit": "ns",
        "values": cost.nanos,
        "summary": Summary::of(&cost.nanos),
    })
}

fn figure_json((figure, values): (&Figure, &Vec<f64>)) -> Value {
    json!({
        "load": figure.workload.to_string(),
        "figure": figure.name(),
        "unit": figure.unit(),
        "values": values,
        "summary": Summary::of(values),
    })
}

#[cfg(test)]
pub(crate) mod fixture {
    use super::*;
    use crate::bench::{figure::What, workload::DOWN};

    /// Plain at 10 Gbit/s, HAProxy at 5, nginx all over the place.
    pub(crate) fn report() -> Report {
        let mut report = Report::new(Machine::this().expect("a machine"), 3);
        let rate = Figure { workload: DOWN, what: What::Rate };
        let rounds = [
            (Contender::Plain, [10.0, 10.1, 9.9]),
            (Contender::Haproxy, [5.0, 5.1, 4.9]),
            (Contender::Nginx, [4.5, 10.0, 5.2]),
        ];
        for (contender, gigabits) in rounds {
            for value in gigabits {
                let figures = vec![(rate, value * 1e9 / 8.0)];
                report.add(contender, Run { figures, busy_before: Some(0.25), ..Run::default() });
            }
        }
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_has_every_value_and_the_settings_it_was_measured_with() {
        let mut report = fixture::report();
        let mut failures = Failures::default();
        failures.add("connect: timed out".into());
        report.add(Contender::Haproxy, Run { failures, ..Run::default() });
        let json = report.json();
        let haproxy = &json["contenders"][1];
        assert_eq!(haproxy["name"], "haproxy");
        assert!(haproxy["settings"].as_str().is_some_and(|text| text.contains("splice-auto")));
        assert_eq!(haproxy["figures"][0]["values"].as_array().map(Vec::len), Some(3));
        assert_eq!(haproxy["figures"][0]["summary"]["median"], 5.0);
        assert_eq!(haproxy["failures"]["connect: timed out"], 1);
    }

    #[test]
    fn what_plain_takes_as_well_is_not_the_contenders() {
        let mut report = fixture::report();
        let machine = Figure { workload: crate::bench::workload::DOWN, what: What::Machine };
        for (contender, value) in [(Contender::Plain, 0.25e-9), (Contender::Haproxy, 1.5e-9)] {
            let figures = vec![(machine, value)];
            report.add(contender, Run { figures, ..Run::default() });
        }
        report.subtract_plain();
        let beyond = Figure { what: What::Beyond, ..machine };
        let haproxy = report.summary(Contender::Haproxy, beyond).expect("a figure");
        assert_eq!(haproxy.median, 1.25);
        assert_eq!(report.summary(Contender::Plain, beyond), None);
    }

    #[test]
    fn who_was_missing_or_broke_off_makes_the_report_less_than_whole() {
        let mut report = fixture::report();
        assert!(report.is_whole());
        report.missing.push("nginx: not installed".into());
        assert!(!report.is_whole());
    }
}
