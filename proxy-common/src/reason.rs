//! Why a packet was not forwarded. Numbers are part of metrics and dashboards: a reason keeps its
//! number for ever, a retired number is not given again.

/// What is done with a packet that is not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The host's stack takes it, as if no program were there.
    Pass,
    Drop,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal, $outcome:ident;)*) => {
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $name = $number,)*
        }

        impl Reason {
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The name in metrics and status.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            #[inline(always)]
            pub const fn outcome(self) -> Outcome {
                match self {
                    $(Self::$name => Outcome::$outcome,)*
                }
            }
        }
    };
}

reasons! {
    /// Neither TCP over IP nor an ICMP error: ARP, UDP and so on.
    NotTcp = 0, "not_tcp", Pass;
    /// For an address that is not one of this interface's.
    NotOurs = 1, "not_ours", Pass;
    /// For a port of the host that is none of ours: SSH, answers to health probes.
    OtherPort = 2, "other_port", Pass;
    /// For the listener's port, but no new connection and of none in the table: the listener's own,
    /// or one that was forgotten, which the stack resets.
    UnknownFlow = 3, "unknown_flow", Pass;
    /// A new connection while no backend is live: the listener answers.
    NoBackend = 4, "no_backend", Pass;
    /// A new connection while the flow table is full: the listener answers.
    TableFull = 5, "table_full", Pass;
    /// A new connection for which no source port was found: the listener answers.
    PortsExhausted = 6, "ports_exhausted", Pass;
    /// The IP header has options.
    IpOptions = 7, "ip_options", Pass;
    /// A fragment, the first one too.
    Fragment = 8, "fragment", Pass;
    /// The agent has not written its configuration yet.
    NotConfigured = 9, "not_configured", Pass;
    /// Headers that the packet is too short for, or that contradict each other.
    Malformed = 10, "malformed", Drop;
    /// The time to live ran out here: most likely the endpoint's name leads back to this host.
    TtlExpired = 11, "ttl_expired", Drop;
    /// The kernel would not let the packet be rewritten.
    RewriteFailed = 12, "rewrite_failed", Drop;
    /// An ICMP error about no packet of a flow: the host's own sockets may know it.
    IcmpOfNoFlow = 13, "icmp_of_no_flow", Pass;
    /// An ICMP error about a client's SYN: its next one goes to another backend.
    IcmpWhileOpening = 14, "icmp_while_opening", Drop;
    /// XDP found no neighbour or another interface on the route: TC forwards the packet.
    NoExit = 15, "no_exit", Pass;
    /// IPv4's header does not agree with its checksum (RFC 1812, section 5.2.2). TCP's own is left
    /// to the end that gets the segment: a packet that was wrong leaves wrong by the same amount.
    BadChecksum = 16, "bad_checksum", Drop;
    /// Of a connection that the listener has, or is about to accept.
    Relayed = 17, "relayed", Pass;
}

/// Places in the map of counters: room to grow without a new layout.
pub const MAX_REASONS: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_unique_and_fit_the_map() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert!((*reason as u32) < MAX_REASONS);
            for other in &Reason::ALL[index + 1..] {
                assert_ne!(*reason as u32, *other as u32);
                assert_ne!(reason.as_str(), other.as_str());
            }
        }
    }
}
