//! What the figures are, and what they are not.

pub(super) const HOW: &str = "\
## How

Each contender gets in each round a lab of its own out of network namespaces: no port rests there and
no table is warm. One client, a router, three API servers, and the proxy host with one link, through
which the way between the others always leads, `plain`'s too. Client and servers are one program, the
same for all. Loads run for a second after a short warm-up, one after the other. TCP's congestion control
is `cubic` for all loads, Linux's own default, whatever the machine has chosen for itself.

**Processor time.** All namespaces share one kernel, and on a veth the thread that sends does the work
of all hosts on the way, up to the receiver's socket. The kernel does not say for whom. Hence:

- *of the proxy's processes*: user and system time of the process group. Exact to 10 ms. What its
  threads do on their way into the kernel for others' packets is in it, and what other threads and
  interrupts do for its packets is not.
- *of the proxy's eBPF programs*: the kernel's `run_time_ns`. The clock is read before and after each
  run, which costs some 20 to 50 ns and is in the figure; hence these loads run once more with that
  clock on, and no other figure has it.
- *of the whole machine*: all that is not idle in `/proc/stat`, load and servers too; *softirq* is the
  part that the kernel's ticks found there outside of any thread's own time. Only on a quiet machine
  does it mean anything.
- *beyond plain's*: the whole machine's, without the median of what the same load takes where nobody is
  in the way. This is the honest figure of what a proxy costs: processes, programs, its sockets and
  their interrupts. It is what is paid beyond a route through the same host, whose own cost is in
  `plain`'s; it also has what the load itself does differently, such as larger or smaller packets.

**Memory.** Of processes what is resident, of the kernel the growth of `Slab` and `Percpu` while the
connections were opened: sockets, files, connection tracking. Both ends are in that, so that *beyond
plain's* is the proxy host's part. Tables that are there from the start are told apart, for each
connection that they have room for. Buffers with data in them are not looked at.

**The eBPF programs.** Each run meets another flow of those that are busy. Where that is a whole large
table, nothing of it is in the caches, nor in the processor's table of pages: the worst that can happen.
Where a thousand of many are busy, it is what a table costs by being large. A SYN is
run alone, with cold code and the kernel's clock in it. At XDP a SYN is passed on to TC, and the cost of
that is the cost of looking. How many instructions were executed for a packet the kernel does not say
without a hardware counter, which virtual machines rarely have; the table has how many there are, and
how many steps the verifier took through all branches. TC's program names a link, and the kernel finds
route and neighbour once it is done, which no figure here has; XDP's program asks for them itself, for
one packet in a tenth of a second to each address.

## What cannot be concluded

- Anything about network cards, their queues and interrupts: there are none. Between namespaces packets
  of 64 KiB travel whole and without a checksum. XDP in a driver cannot have those: the proxy's link of
  `xdp`, and of nobody else, has frames of one segment each, checksummed by the sender, so that its bulk
  compares with nobody's.
- Anything about many processors: load, proxy and servers share the same few. A terminating proxy that
  has a processor of its own would do better beside the packet paths than here.
- Anything about BBR. Between namespaces, where a round trip takes microseconds, it halves the bulk of
  every contender and makes three times as much noise. A sender that uses it keeps the round trip to the
  proxy for the path's, after its connection was handed over, for as long as its filter looks back (10 s):
  until then it may send less than it could.
- How fast the processors themselves were at each moment. Who shares a core with another virtual machine
  is up to twice as slow for seconds at a time, which no kernel in it can see: it is in the spread, and
  the largest values say more than the medians where that is wide.
- Latency between hosts. A microsecond here is one of the kernel's, not of a network's.
- p99.9 of the smaller loads, of which one second has few. And a difference that is called noise may
  still be one: more rounds would show it.
";
