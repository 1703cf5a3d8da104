//! The program and its maps, loaded for as long as this lives. Nothing is pinned.

use std::{
    collections::BTreeMap,
    fs, io,
    os::fd::AsRawFd,
    sync::{Mutex, MutexGuard},
};

use anyhow::Context as _;
use aya::{
    Ebpf, EbpfLoader,
    maps::{HashMap, MapData, MapError, SockHash},
    programs::{ProgramFd, SkSkb, SocketFilter},
};
use proxy_common::splice::{Cookie, Ledger, Splice};

use super::btf::Btf;
use crate::datapath::tally::lock;
use crate::tcp;

const BTF: &str = "/sys/kernel/btf/vmlinux";
const SPLICE: &str = "enigate_splice";
const HOLD: &str = "enigate_hold";
const SOCKETS_PER_CONNECTION: u32 = 2;

pub struct Program {
    /// Holds the programs, and with them the link to the map.
    _ebpf: Ebpf,
    hold: ProgramFd,
    maps: Mutex<Maps>,
}

struct Maps {
    others: SockHash<MapData, Cookie>,
    splices: HashMap<MapData, Cookie, Splice>,
    ledgers: HashMap<MapData, Cookie, Ledger>,
}

/// Where the program finds fields of the kernel's sockets.
struct Offsets {
    write_seq: u32,
    copied_seq: u32,
    wmem_queued: u32,
    sndbuf: u32,
}

#[cfg(ebpf_built)]
fn object() -> anyhow::Result<&'static [u8]> {
    Ok(aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/enigate-splice")))
}

#[cfg(not(ebpf_built))]
fn object() -> anyhow::Result<&'static [u8]> {
    anyhow::bail!("this binary was built without the eBPF programs; run `cargo xtask setup`")
}

impl Program {
    pub fn load(connections: u32, weakness: u32) -> anyhow::Result<Self> {
        let sockets = connections.saturating_mul(SOCKETS_PER_CONNECTION);
        let offsets = Offsets::of_this_kernel()?;
        let mut loader = EbpfLoader::new();
        for map in ["OTHERS", "SPLICES", "LEDGERS"] {
            loader.map_max_entries(map, sockets);
        }
        let mut ebpf = loader
            .override_global("WRITE_SEQ", &offsets.write_seq, true)
            .override_global("COPIED_SEQ", &offsets.copied_seq, true)
            .override_global("WMEM_QUEUED", &offsets.wmem_queued, true)
            .override_global("SNDBUF", &offsets.sndbuf, true)
            .override_global("WEAKNESS", &weakness, true)
            .load(object()?)
            .context("the kernel does not take the maps")?;
        let maps = Maps::take(&mut ebpf)?;
        let splice: &mut SkSkb = ebpf.program_mut(SPLICE).context(SPLICE)?.try_into()?;
        splice.load().context("the kernel does not take the program enigate_splice")?;
        splice.attach(maps.others.fd()).context("the program cannot be attached to its map")?;
        let hold: &mut SocketFilter = ebpf.program_mut(HOLD).context(HOLD)?.try_into()?;
        hold.load().context("the kernel does not take the program enigate_hold")?;
        let hold = hold.fd()?.try_clone()?;
        Ok(Self { _ebpf: ebpf, hold, maps: Mutex::new(maps) })
    }

    /// From here on segments are lost that would come to more than may wait. For as long as the
    /// socket lives.
    pub fn guard(&self, socket: &impl AsRawFd) -> io::Result<()> {
        tcp::filter(socket, &self.hold)
    }

    /// Both entries of a socket that bytes come from.
    pub fn announce(&self, source: Cookie) -> Result<(), MapError> {
        let mut maps = self.maps();
        maps.splices.insert(source, Splice::default(), 0)?;
        maps.ledgers.insert(source, Ledger::default(), 0)
    }

    /// From here on the program judges what `destination` receives, and sends there what comes from
    /// `source`, if that is in the map too.
    pub fn join(&self, source: Cookie, destination: &impl AsRawFd) -> Result<(), MapError> {
        self.maps().others.insert(source, destination.as_raw_fd(), 0)
    }

    pub fn splice(&self, source: Cookie) -> Result<Splice, MapError> {
        self.maps().splices.get(&source, 0)
    }

    pub fn publish(&self, source: Cookie, ledger: Ledger) -> Result<(), MapError> {
        self.maps().ledgers.insert(source, ledger, 0)
    }

    /// The sockets themselves leave the map when they are closed.
    pub fn forget(&self, source: Cookie) {
        let mut maps = self.maps();
        // Nothing there is what was asked for.
        let _absent = (maps.splices.remove(&source), maps.ledgers.remove(&source));
    }

    fn maps(&self) -> MutexGuard<'_, Maps> {
        lock(&self.maps)
    }
}

impl Maps {
    fn take(ebpf: &mut Ebpf) -> anyhow::Result<Self> {
        let mut take = |name| ebpf.take_map(name).with_context(|| format!("no map {name}"));
        Ok(Self {
            others: take("OTHERS")?.try_into()?,
            splices: take("SPLICES")?.try_into()?,
            ledgers: take("LEDGERS")?.try_into()?,
        })
    }
}

impl Offsets {
    fn of_this_kernel() -> anyhow::Result<Self> {
        let bytes = fs::read(BTF).with_context(|| format!("{BTF} cannot be read"))?;
        let btf = Btf::parse(&bytes)?;
        let (tcp, sock) = (btf.members("tcp_sock")?, btf.members("sock")?);
        let field = |members: &BTreeMap<&str, u32>, name: &str| {
            members.get(name).copied().with_context(|| format!("the kernel has no field {name}"))
        };
        Ok(Self {
            write_seq: field(&tcp, "write_seq")?,
            copied_seq: field(&tcp, "copied_seq")?,
            wmem_queued: field(&sock, "sk_wmem_queued")?,
            sndbuf: field(&sock, "sk_sndbuf")?,
        })
    }
}
