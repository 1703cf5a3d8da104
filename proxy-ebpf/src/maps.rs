//! The maps, private behind what the core asks of its surroundings.

#![allow(unsafe_code, reason = "maps hand out pointers to memory that other CPUs write too")]

use core::ops::Deref;

use aya_ebpf::{
    Global,
    bindings::{BPF_NOEXIST, BPF_RB_NO_WAKEUP},
    btf_maps::{Array, HashMap, PerCpuArray, RingBuf},
    helpers::generated::{
        bpf_get_prandom_u32, bpf_ktime_get_coarse_ns, bpf_ktime_get_ns, bpf_spin_lock,
        bpf_spin_unlock,
    },
    macros::btf_map,
};
use proxy_common::{
    backend::{BackendId, BackendLoad, BackendSet, BackendTraffic, MAX_BACKEND_IDS},
    config::{ActiveSet, Config},
    counter::{Counter, MAX_COUNTERS},
    event::{Change, FlowEvent, Halves},
    flow::{Direction, Flow, FlowKey},
    reason::{MAX_REASONS, Reason},
    reserved::PortBits,
    stamp::Stamp,
    track::{Arm, Shift, Track, TrackId},
};
use proxy_ebpf::{
    environment::{Environment, InsertError},
    exits::{Known, PLACES},
    handover::shift_of,
    seen::Seen,
};

const IDS: usize = MAX_BACKEND_IDS as usize;
/// Replaced by the agent's `--table-size` when it loads the programs.
const FLOW_ENTRIES: usize = 2 * 131_072;
/// Replaced by the agent where connections are handed over: a hash of the kernel's has room from the
/// beginning.
const TRACKED: usize = 1;
/// Of the ring buffer: some ten thousand events, ten times what comes between two looks of the agent.
const EVENT_BYTES: usize = 1 << 20;
const E2BIG: i32 = 7;

/// The clock of the last timer tick, 1 to 10 ms old, is exact enough for a stamp and spares each
/// packet a tenth of its time. The agent sets 0 before it loads the programs into a kernel without
/// it (before 5.11); the verifier then never looks at that branch.
#[unsafe(no_mangle)]
static COARSE_CLOCK: Global<u8> = Global::new(1);

#[btf_map]
static CONFIG: Array<Config, 1> = Array::new();
#[btf_map]
static ACTIVE: Array<ActiveSet, 1> = Array::new();
#[btf_map]
static BACKENDS: Array<BackendSet, 2> = Array::new();
#[btf_map]
static FLOWS: HashMap<FlowKey, Flow, FLOW_ENTRIES> = HashMap::new();
/// One for each connection, by the key of its client's packets.
#[btf_map]
static TRACKS: HashMap<FlowKey, Track, TRACKED> = HashMap::new();
/// Written by the agent alone.
#[btf_map]
static ARMS: HashMap<FlowKey, Arm, TRACKED> = HashMap::new();
#[btf_map]
static SCRATCH: PerCpuArray<Seen, 1> = PerCpuArray::new();
#[btf_map]
static EXITS: PerCpuArray<Known, { PLACES as usize }> = PerCpuArray::new();
#[btf_map]
static TRAFFIC: PerCpuArray<BackendTraffic, IDS> = PerCpuArray::new();
#[btf_map]
static LOAD: Array<BackendLoad, IDS> = Array::new();
/// Flows that ended without the program seeing it; written by the agent alone.
#[btf_map]
static EXPIRED: Array<u64, IDS> = Array::new();
#[btf_map]
static REASONS: PerCpuArray<u64, { MAX_REASONS as usize }> = PerCpuArray::new();
#[btf_map]
static EVENTS: RingBuf<FlowEvent, EVENT_BYTES> = RingBuf::new();
#[btf_map]
static COUNTERS: PerCpuArray<u64, { MAX_COUNTERS as usize }> = PerCpuArray::new();
/// The agent's alone; here so that it is made and pinned with the others.
#[btf_map]
static RESERVED: Array<PortBits, 1> = Array::new();

/// The kernel's tables, clock and chance.
pub struct Maps;

#[inline(always)]
pub fn count(reason: Reason) {
    if let Some(count) = REASONS.get_ptr_mut(reason as u32) {
        // SAFETY: this CPU's own slot.
        unsafe { *count += 1 };
    }
}

#[inline(always)]
fn add(counter: Counter) {
    if let Some(count) = COUNTERS.get_ptr_mut(counter as u32) {
        // SAFETY: this CPU's own slot.
        unsafe { *count += 1 };
    }
}

impl Environment for Maps {
    type Entry<'a> = &'a mut Flow;
    type Scratch<'a> = &'a mut Seen;

    #[inline(always)]
    fn scratch(&self) -> Option<&mut Seen> {
        // SAFETY: this CPU's own slot, and no other packet is worked on here until this one is done.
        SCRATCH.get_ptr_mut(0).map(|seen| unsafe { &mut *seen })
    }

    #[inline(always)]
    fn config(&self) -> Option<&Config> {
        let config = CONFIG.get(0)?;
        // An interface's index is never 0.
        (config.ifindex != 0).then_some(config)
    }

    #[inline(always)]
    fn backends(&self) -> Option<&BackendSet> {
        BACKENDS.get(*ACTIVE.get(0)?)
    }

    #[inline(always)]
    fn known_exit(&self, place: u32) -> Option<impl Deref<Target = Known>> {
        // SAFETY: this CPU's own slot.
        EXITS.get_ptr(place).map(|known| unsafe { &*known })
    }

    #[inline(always)]
    fn keep_exit(&self, place: u32, known: &Known) {
        if let Some(slot) = EXITS.get_ptr_mut(place) {
            // SAFETY: this CPU's own slot.
            unsafe { *slot = *known };
        }
    }

    #[inline(always)]
    fn flow(&self, key: &FlowKey) -> Option<&mut Flow> {
        // SAFETY: the slot outlives the program's run, which is inside an RCU section: a removed
        // slot may be used again, never freed. Its words are written by packets of one direction,
        // which arrive on one CPU; at worst a count is off by one.
        FLOWS.get_ptr_mut(key).map(|flow| unsafe { &mut *flow })
    }

    #[inline(always)]
    fn insert(&self, key: &FlowKey, flow: &Flow) -> Result<(), InsertError> {
        FLOWS.insert(key, flow, u64::from(BPF_NOEXIST)).map_err(refused)
    }

    #[inline(always)]
    fn remove(&self, key: &FlowKey) {
        // Nothing there is what was asked for.
        let _absent = FLOWS.remove(key);
    }

    #[inline(always)]
    fn with_track<R>(
        &self,
        client: &FlowKey,
        otherwise: R,
        change: impl FnOnce(&mut Track) -> R,
    ) -> R {
        let Some(track) = TRACKS.get_ptr_mut(client) else { return otherwise };
        // SAFETY: the map's value outlives the run, and its lock keeps other CPUs out.
        unsafe {
            let lock = (&raw mut (*track).lock).cast();
            bpf_spin_lock(lock);
            let result = change(&mut *track);
            bpf_spin_unlock(lock);
            result
        }
    }

    #[inline(always)]
    fn remove_track(&self, client: &FlowKey) {
        // Nothing there is what was asked for.
        let _absent = TRACKS.remove(client);
    }

    #[inline(always)]
    fn shift(&self, client: &FlowKey, id: TrackId, direction: Direction) -> Option<&Shift> {
        // SAFETY: as for a flow; once it is handed over, nobody writes it.
        let track = TRACKS.get_ptr_mut(client).map(|track| unsafe { &*track })?;
        shift_of(track, id, direction)
    }

    #[inline(always)]
    fn arm(&self, client: &FlowKey) -> Option<&Arm> {
        // SAFETY: as for a flow; the agent alone writes it, and puts a new one in its place.
        ARMS.get_ptr(client).map(|arm| unsafe { &*arm })
    }

    #[inline(always)]
    fn open_flows(&self, id: BackendId) -> u64 {
        let Some(load) = LOAD.get(u32::from(id.0)) else { return 0 };
        let expired = EXPIRED.get(u32::from(id.0)).copied().unwrap_or(0);
        load.opened.saturating_sub(load.closed + expired)
    }

    #[inline(always)]
    fn count_opened(&self, id: BackendId) {
        locked(id, |load| load.opened += 1);
    }

    #[inline(always)]
    fn count_closed(&self, id: BackendId) {
        locked(id, |load| load.closed += 1);
    }

    #[inline(always)]
    fn tell(&self, change: Change, key: &FlowKey) {
        if CONFIG.get(0).is_some_and(|config| config.events.include(change)) {
            send_event(change, key);
        }
    }

    #[inline(always)]
    fn count_packet(&self, id: BackendId, direction: Direction, bytes: u32) {
        let Some(traffic) = TRAFFIC.get_ptr_mut(u32::from(id.0)) else { return };
        // SAFETY: this CPU's own slot.
        let traffic = unsafe { &mut *traffic };
        let (packets, total) = match direction {
            Direction::ToBackend => {
                (&mut traffic.packets_to_backend, &mut traffic.bytes_to_backend)
            }
            Direction::ToClient => (&mut traffic.packets_to_client, &mut traffic.bytes_to_client),
        };
        *packets += 1;
        *total += u64::from(bytes);
    }

    #[inline(always)]
    fn count(&self, counter: Counter) {
        add(counter);
    }

    #[inline(always)]
    fn now(&self) -> Stamp {
        Stamp::from_nanos(match COARSE_CLOCK.load() {
            // SAFETY: a helper without arguments.
            0 => unsafe { bpf_ktime_get_ns() },
            // SAFETY: a helper without arguments.
            _ => unsafe { bpf_ktime_get_coarse_ns() },
        })
    }

    #[inline(always)]
    fn random(&self) -> u32 {
        // SAFETY: a helper without arguments.
        unsafe { bpf_get_prandom_u32() }
    }
}

#[inline(always)]
const fn refused(code: i32) -> InsertError {
    if code == -E2BIG { InsertError::Full } else { InsertError::Taken }
}

/// The agent looks for events by itself: waking it for each would cost the packet more than all else.
///
/// A function of its own, for its part of the stack.
#[inline(never)]
fn send_event(change: Change, key: &FlowKey) {
    let Some(flow) = Maps.flow(key) else { return add(Counter::EventsLost) };
    let Some(twin) = Maps.flow(&flow.twin(key.local)) else { return add(Counter::EventsLost) };
    let Some(mut slot) = EVENTS.reserve(0) else { return add(Counter::EventsLost) };
    let halves = Halves::of(flow, twin, key.local);
    slot.write(FlowEvent::new(change, &halves, Maps.now()));
    slot.submit(u64::from(BPF_RB_NO_WAKEUP));
}

/// Changes what all CPUs share of a backend. Rust has no atomic addition for this target, and a
/// connection begins and ends but once.
#[inline(always)]
fn locked(id: BackendId, change: impl FnOnce(&mut BackendLoad)) {
    let Some(load) = LOAD.get_ptr_mut(u32::from(id.0)) else { return };
    // SAFETY: the map's value outlives the run, and its lock keeps other CPUs out.
    unsafe {
        let lock = (&raw mut (*load).lock).cast();
        bpf_spin_lock(lock);
        change(&mut *load);
        bpf_spin_unlock(lock);
    }
}
