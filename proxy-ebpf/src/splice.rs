//! What becomes of the bytes that one socket of a spliced connection has received.
//!
//! They go to the other socket while that takes them at once; else to user space, whose slowness
//! TCP tells the sender. A byte goes by one way or the other, in order: nothing is redirected while
//! anything that was passed is still on its way (`passed` and `carried` differ), and user space
//! writes only what was passed, after all that was redirected before.
//!
//! Of the kernel this relies on, and `enigate`'s self-test checks that it may:
//! `tcp_read_skb` and `sk_psock_verdict_recv` hand over whole skbs in the order of their sequence
//! numbers, the first part of which may have been handed over before (net/ipv4/tcp.c,
//! net/core/skmsg.c). One that is empty is a bare FIN, and must go nowhere. What was redirected
//! waits, uncharged, in `sk_psock.ingress_skb` until the other socket's send buffer has room; what
//! is passed to user space queues behind it. So nothing is redirected that would have to wait for
//! more than a worker thread.

use proxy_common::splice::{Fault, HOLD_LIMIT, Ledger, PASS_LIMIT, Splice, Stage, weakness};

/// What the kernel spends on each skb beside its bytes, or more.
const OVERHEAD: u32 = 1024;

/// One skb, as the source's receive queue has it.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub sequence: u32,
    pub len: u32,
    /// The next byte that user space would have read, had there been no program
    /// (`tcp_sock.copied_seq`). Holds for the first skb only.
    pub expected: u32,
}

/// The send side of the other socket.
#[derive(Clone, Copy, Debug)]
pub struct Destination {
    /// The sequence number of the next byte that it will take.
    pub write_seq: u32,
    /// Memory of its send queue, and the most that it takes (`sk_wmem_queued`, `sk_sndbuf`).
    pub queued: u32,
    pub buffer: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Bytes to cut off in front, before all else.
    pub trim: u32,
    pub verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is nothing in it.
    Drop,
    Pass,
    Redirect,
}

/// `weak` is 0 but in tests of the self-test, see [`weakness`].
#[inline(always)]
pub fn judge(
    splice: &mut Splice,
    ledger: Ledger,
    arrival: Arrival,
    destination: Option<Destination>,
    weak: u32,
) -> Judgement {
    if arrival.len == 0 && weak & weakness::KEEPS_EMPTY == 0 {
        return Judgement { trim: 0, verdict: Verdict::Drop };
    }
    if matches!(splice.stage, Stage::New) {
        splice.next = arrival.expected;
        splice.stage = Stage::Seen;
    }
    let trim = old_bytes(splice, arrival, weak);
    let fresh = arrival.len - trim;
    if fresh == 0 && weak & weakness::KEEPS_EMPTY == 0 {
        return Judgement { trim, verdict: Verdict::Drop };
    }
    Judgement { trim, verdict: route(splice, ledger, fresh, destination, weak) }
}

/// How many bytes in front have come before; the rest is new from here on.
#[inline(always)]
fn old_bytes(splice: &mut Splice, arrival: Arrival, weak: u32) -> u32 {
    let ahead = splice.next.wrapping_sub(arrival.sequence) as i32;
    if ahead < 0 {
        fail(splice, Fault::Gap);
    }
    let old = if ahead < 0 { 0 } else { ahead as u32 };
    let old = if old > arrival.len { arrival.len } else { old };
    splice.next = splice.next.wrapping_add(arrival.len - old);
    if weak & weakness::KEEPS_OVERLAP != 0 {
        return 0;
    }
    splice.trimmed += u64::from(old);
    old
}

#[inline(always)]
fn route(
    splice: &mut Splice,
    ledger: Ledger,
    fresh: u32,
    destination: Option<Destination>,
    weak: u32,
) -> Verdict {
    let is_in_order = splice.passed == ledger.carried || weak & weakness::NO_ORDER != 0;
    if let Some(destination) = destination
        && is_in_order
        && ledger.for_good == 0
        && matches!(splice.fault, Fault::None)
        && (takes(splice, ledger, fresh, destination) || weak & weakness::NO_LIMIT != 0)
    {
        splice.redirected += u64::from(fresh);
        return Verdict::Redirect;
    }
    splice.passed += u64::from(fresh);
    // The agent may have written what is not counted here yet, never more.
    if splice.passed.wrapping_sub(ledger.carried) > PASS_LIMIT {
        fail(splice, Fault::Flood);
    }
    Verdict::Pass
}

/// Whether the send buffer has room for these bytes behind those that wait for it.
#[inline(always)]
fn takes(splice: &mut Splice, ledger: Ledger, fresh: u32, destination: Destination) -> bool {
    if !matches!(splice.stage, Stage::Redirecting) {
        splice.base = destination.write_seq.wrapping_sub(ledger.carried as u32);
        splice.stage = Stage::Redirecting;
    }
    let given =
        splice.base.wrapping_add(splice.redirected as u32).wrapping_add(ledger.carried as u32);
    if given == destination.write_seq {
        splice.burst = 0;
    }
    let burst = splice.burst.saturating_add(fresh).saturating_add(OVERHEAD);
    // A quarter is left for what the kernel adds to each segment.
    let has_room =
        burst.saturating_add(destination.queued) <= destination.buffer - destination.buffer / 4;
    if has_room {
        splice.burst = burst;
    }
    has_room
}

/// Whether another segment with bytes may come in. While the other way redirects to this socket,
/// what it passes queues behind that, and closes no window.
#[inline(always)]
pub fn may_receive(splice: &Splice, ledger: Ledger, weak: u32) -> bool {
    let waiting = splice.passed.saturating_sub(ledger.carried);
    waiting <= HOLD_LIMIT || weak & weakness::NO_HOLD != 0
}

/// The first fault is the one that tells why.
#[inline(always)]
pub fn fail(splice: &mut Splice, fault: Fault) {
    if matches!(splice.fault, Fault::None) {
        splice.fault = fault;
    }
}

#[cfg(test)]
mod tests;
