//! Source ports that agents have reserved on the host and not yet given back. Kept in a pinned
//! map: whoever detaches must give back these and no others. No program reads it.

/// A bit for each port: port 64 * w + b is bit b of word w.
pub type PortBits = [u64; 1024];
