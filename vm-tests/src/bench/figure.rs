//! A thing that is measured, and how people write it.

use super::workload::Workload;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Figure {
    pub workload: Workload,
    pub what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    /// Bytes, round trips or connections a second.
    Rate,
    /// Microseconds.
    P50,
    P99,
    P999,
    /// Seconds of the proxy's processes for each byte, round trip or connection.
    Cpu,
    /// Bytes of the proxy's processes for each connection.
    Memory,
    /// Of the connections, those that were handed over to the packet path, from 0 to 1.
    HandedOver,
}

impl Figure {
    /// Without the load's name.
    pub(crate) fn name(self) -> &'static str {
        match self.what {
            What::Rate => "rate",
            What::P50 => "p50",
            What::P99 => "p99",
            What::P999 => "p99.9",
            What::Cpu => "processor time of the proxy's processes",
            What::Memory => "memory of the proxy's processes",
            What::HandedOver => "handed over",
        }
    }

    pub(crate) fn unit(self) -> &'static str {
        match (self.what, self.is_bulk()) {
            (What::Rate, true) => "Gbit/s",
            (What::Rate, false) => "1/s",
            (What::P50 | What::P99 | What::P999, _) => "µs",
            (What::Cpu, true) => "s/GB",
            (What::Cpu, false) => "µs each",
            (What::Memory, _) => "KiB each",
            (What::HandedOver, _) => "%",
        }
    }

    /// From what is measured, see [`What`], to the unit.
    pub(crate) fn in_unit(self, value: f64) -> f64 {
        match (self.what, self.is_bulk()) {
            (What::Rate, true) => value * 8.0 / 1e9,
            (What::Cpu, true) => value * 1e9,
            (What::Cpu, false) => value * 1e6,
            (What::Memory, _) => value / 1024.0,
            (What::HandedOver, _) => value * 100.0,
            _ => value,
        }
    }

    fn is_bulk(self) -> bool {
        matches!(self.workload, Workload::Down | Workload::Up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_is_told_in_bits_and_its_cost_by_the_gigabyte() {
        let figure = |what| Figure { workload: Workload::Up, what };
        assert_eq!(figure(What::Rate).in_unit(1.25e9), 10.0);
        assert_eq!(figure(What::Rate).unit(), "Gbit/s");
        assert_eq!(figure(What::Cpu).in_unit(0.5e-9), 0.5);
    }
}
