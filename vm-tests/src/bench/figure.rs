//! A thing that is measured, and how people write it.

use super::workload::{Counted, Workload};

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
    /// The same of its eBPF programs.
    Programs,
    /// The same of all that the machine did, load and servers too.
    Machine,
    /// Of that, in interrupts' second halves.
    SoftIrq,
    /// The machine's, without what the same load takes where nobody is in the way.
    Beyond,
    /// Seconds of one run of an eBPF program.
    Run,
    /// Bytes of the proxy's processes for each connection.
    Memory,
    /// Bytes of the kernel for each connection, both ends too.
    KernelMemory,
    /// The same without what it is where nobody is in the way.
    KernelBeyond,
    /// Bytes of the proxy's tables in the kernel, made at its start, for each connection that they
    /// have room for.
    Table,
    /// Of the connections, those that were handed over to the packet path, from 0 to 1.
    HandedOver,
    /// Requests that failed.
    Failed,
    /// Seconds from the changed answer of the resolver to the first connection on a new ENI.
    FirstNew,
    /// The same since the proxy was told of it.
    FirstNewTold,
    /// Seconds from the end of an ENI to the begin of the last connection that failed.
    LastFailed,
    /// Seconds that the slowest connection took which did not fail.
    Slowest,
}

impl What {
    /// What is left of it without [`super::contender::Contender::Plain`]'s.
    pub(crate) fn beyond_plain(self) -> Option<Self> {
        match self {
            Self::Machine => Some(Self::Beyond),
            Self::KernelMemory => Some(Self::KernelBeyond),
            _ => None,
        }
    }
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
            What::Programs => "processor time of the proxy's eBPF programs",
            What::Machine => "processor time of the whole machine",
            What::SoftIrq => "of that, softirq",
            What::Beyond => "processor time beyond plain's",
            What::Run => "a run of an eBPF program",
            What::Memory => "memory of the proxy's processes",
            What::KernelMemory => "memory of the kernel, both ends too",
            What::KernelBeyond => "memory of the kernel beyond plain's",
            What::Table => "tables of the proxy in the kernel",
            What::HandedOver => "handed over",
            What::Failed => "failed requests",
            What::FirstNew => "changed answer to first connection on a new ENI",
            What::FirstNewTold => "answer told to first connection on a new ENI",
            What::LastFailed => "dead ENI to last failed connection",
            What::Slowest => "slowest request that did not fail",
        }
    }

    pub(crate) fn unit(self) -> &'static str {
        match (self.what, self.workload.counted()) {
            (What::Rate, Counted::Bytes) => "Gbit/s",
            (What::Rate, _) => "1/s",
            (What::P50 | What::P99 | What::P999, _) => "µs",
            (What::Run, _) => "ns",
            (What::Memory | What::KernelMemory | What::KernelBeyond | What::Table, _) => {
                "bytes each"
            }
            (What::HandedOver, _) => "%",
            (What::Failed, _) => "requests",
            (What::FirstNew | What::FirstNewTold | What::LastFailed | What::Slowest, _) => "ms",
            (_, Counted::Bytes) => "s/GB",
            (_, Counted::RoundTrips) => "µs each",
            (_, Counted::Connections) => "s/10,000",
        }
    }

    /// From what is measured, see [`What`], to the unit.
    pub(crate) fn in_unit(self, value: f64) -> f64 {
        value
            * match self.unit() {
                "Gbit/s" => 8.0 / 1e9,
                "s/GB" | "ns" => 1e9,
                "µs each" => 1e6,
                "ms" => 1e3,
                "s/10,000" => 1e4,
                "%" => 100.0,
                _ => 1.0,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::workload::DOWN;

    #[test]
    fn bulk_is_told_in_bits_and_its_cost_by_the_gigabyte() {
        let figure = |what| Figure { workload: DOWN, what };
        assert_eq!(figure(What::Rate).in_unit(1.25e9), 10.0);
        assert_eq!(figure(What::Rate).unit(), "Gbit/s");
        assert_eq!(figure(What::Cpu).in_unit(0.5e-9), 0.5);
        assert_eq!(figure(What::Run).in_unit(150e-9), 150.0);
    }

    #[test]
    fn what_connections_cost_is_told_by_the_ten_thousand() {
        let figure = Figure { workload: Workload::Connects, what: What::Machine };
        assert_eq!((figure.unit(), figure.in_unit(1e-4)), ("s/10,000", 1.0));
    }
}
