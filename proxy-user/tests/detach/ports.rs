//! Source ports that the kernel would give to sockets are reserved, and given back.

use std::{fs, fs::File, io::Read as _};

use aya::{
    maps::{Array, Map, MapData},
    programs::tc,
};
use proxy_common::{LAYOUT, config::Config};
use proxy_user::datapath::kernel::Hook;

use super::netns::{Place, inside};
use crate::links::{self, LINKS};

const EPHEMERAL: &str = "/proc/sys/net/ipv4/ip_local_port_range";
const RESERVED: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";
/// linux/if_ether.h.
const ETH_P_ALL: u16 = 3;
const CLSACT_PRIORITY: u16 = 0xe916;
const LEFT: &str = LINKS[0];
/// Longer than a read of the standard library that does not know how much there is.
const OPERATORS: &str = "8080,9090,10250-10256,30000-30010,40010,50000-50001";

fn operator_reserves() {
    fs::write(EPHEMERAL, "32768 60999").unwrap();
    fs::write(RESERVED, OPERATORS).unwrap();
}

fn reserved() -> String {
    let mut text = vec![0; 65_536];
    let read = File::open(RESERVED).unwrap().read(&mut text).unwrap();
    String::from_utf8(text[..read].to_vec()).unwrap().trim().to_owned()
}

fn attach(place: &Place, ports: &str, hook: Hook) -> anyhow::Result<()> {
    place.source_ports.set(ports.parse().unwrap());
    place.attach(LEFT, hook).map(drop)
}

#[test]
fn ports_of_the_kernels_range_are_reserved_until_the_detach_and_the_operators_stay() {
    inside("reserved", |place| {
        operator_reserves();
        attach(place, "40000-40063", Hook::Tcx).unwrap();
        // The operator has 40010 already.
        let ours = "8080,9090,10250-10256,30000-30010,40000-40063,50000-50001";
        assert_eq!(reserved(), ours);
        attach(place, "40000-40063", Hook::Tcx).unwrap();
        assert_eq!(reserved(), ours, "a takeover reserves nothing twice");
        let removed = place.detach().join("\n");
        assert!(removed.contains("source ports 40000-40009,40011-40063"), "{removed}");
        assert_eq!(reserved(), OPERATORS);
    });
}

#[test]
fn flows_may_use_an_earlier_range_so_it_stays_reserved_beside_the_new_one() {
    inside("two_ranges", |place| {
        fs::write(EPHEMERAL, "32768 60999").unwrap();
        attach(place, "40000-40063", Hook::Tcx).unwrap();
        attach(place, "41000-41063", Hook::Tcx).unwrap();
        assert_eq!(reserved(), "40000-40063,41000-41063");
        attach(place, "20000-29999", Hook::Tcx).unwrap();
        assert_eq!(reserved(), "40000-40063,41000-41063", "the kernel leaves 20000 and on alone");
        place.detach();
        assert_eq!(reserved(), "");
    });
}

#[test]
fn where_the_kernel_leaves_too_few_the_last_of_its_own_are_taken() {
    inside("auto_ports", |place| {
        fs::write(EPHEMERAL, "1024 65000").unwrap();
        attach(place, "auto", Hook::Tcx).unwrap();
        assert_eq!(reserved(), "48617-65000");
        place.detach();
        assert_eq!(reserved(), "");
    });
}

#[test]
fn a_takeover_that_fails_leaves_the_earlier_agents_configuration_and_ports() {
    inside("failed_takeover", |place| {
        operator_reserves();
        attach(place, "40000-40063", Hook::Tcx).unwrap();
        let (before, ports) = (configuration(place), reserved());
        occupy_clsact(LEFT);
        let error = attach(place, "50000-50999", Hook::Clsact).unwrap_err();
        assert!(format!("{error:#}").contains("clsact"), "{error:#}");
        assert_eq!(crate::programs(LEFT), 1, "the earlier program stays");
        assert_eq!((configuration(place), reserved()), (before, ports));
        // aya cannot look for our filter beside one of u32 with an action.
        remove_links();
    });
}

#[test]
fn a_first_start_that_fails_leaves_nothing() {
    inside("failed_start", |place| {
        operator_reserves();
        occupy_clsact(LEFT);
        attach(place, "50000-50999", Hook::Clsact).unwrap_err();
        assert_eq!(reserved(), OPERATORS);
        assert!(!place.pin_dir.exists());
    });
}

fn configuration(place: &Place) -> Config {
    let pin = place.pin_dir.join(format!("layout-{LAYOUT}/CONFIG"));
    let map = Map::Array(MapData::from_pin(pin).unwrap());
    let config: Array<_, Config> = map.try_into().unwrap();
    config.get(&0, 0).unwrap()
}

/// Something that is no program of BPF sits where the clsact filter of agents has its place.
fn occupy_clsact(interface: &str) {
    tc::qdisc_add_clsact(interface).unwrap();
    let index = links::index(interface);
    links::netlink(async |handle| {
        let filter = handle.traffic_filter(index.cast_signed()).add().ingress();
        let filter = filter.protocol(ETH_P_ALL.to_be()).priority(CLSACT_PRIORITY);
        filter.redirect(index).unwrap().execute().await.unwrap();
    });
}

/// Both ends of the pair, with whatever sits there.
fn remove_links() {
    let index = links::index(LEFT);
    links::netlink(async |handle| handle.link().del(index).execute().await.unwrap());
}
