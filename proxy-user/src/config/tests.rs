use clap::{Args as _, Command, FromArgMatches as _};
use proxy_common::flow::Life;

use super::*;

pub(super) fn from_flags(flags: &[&str]) -> Settings {
    let command = Settings::augment_args(Command::new("enigate").no_binary_name(true));
    Settings::from_arg_matches(&command.get_matches_from(flags)).unwrap()
}

pub(super) fn with_file(flags: &[&str], text: &str) -> Result<Config, Refusal> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Config::load(from_flags(flags), Some(file.path()))
}

#[test]
fn the_defaults_are_what_the_help_says() {
    let config = Config::load(from_flags(&["--endpoint=api.example"]), None).unwrap();
    let help = Settings::augment_args(Command::new("enigate")).render_long_help().to_string();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let (timeouts, listener) = (config.packet.timeouts, &config.listener);
    let period = |duration: Duration| Patience::seconds(duration.as_secs()).to_string();
    for (flag, default) in [
        ("listen <IP:PORT>", config.routes[0].listen.to_string()),
        ("min-ttl <DURATION>", period(config.ttl.min)),
        ("max-ttl <DURATION>", period(config.ttl.max)),
        ("health-interval <DURATION>", period(config.health.interval)),
        ("health-timeout <DURATION>", period(config.health.timeout)),
        ("fall <PROBES>", config.health.fall.to_string()),
        ("rise <PROBES>", config.health.rise.to_string()),
        ("absent-grace <DURATION>", period(config.life.absent_grace)),
        ("drain <DURATION>", period(config.life.drain)),
        ("header-timeout <DURATION>", period(listener.header_timeout)),
        ("connect-timeout <DURATION>", period(listener.connect_timeout)),
        ("half-close-timeout <DURATION>", period(listener.half_closed)),
        ("keepalive <DURATION>", period(listener.legs.keepalive)),
        ("user-timeout <DURATION>", period(listener.legs.user_timeout)),
        ("drain-accept <DURATION>", period(config.drain.accept)),
        ("table-size <CONNECTIONS>", config.packet.connections.to_string()),
        ("timeout-syn <DURATION>", period(timeouts.of(Life::Opening))),
        ("timeout-idle <DURATION>", period(timeouts.of(Life::Open))),
        ("timeout-closing <DURATION>", period(timeouts.of(Life::Closed))),
        ("reset-window <DURATION>", period(config.packet.reset_window)),
        ("mss-clamp <off|BYTES>", config.packet.mss_clamp.to_string()),
        ("pin-dir <FOLDER>", config.packet.pin_dir.display().to_string()),
        ("state-dir <FOLDER>", config.state.folder.display().to_string()),
        ("handover-after <BYTES|TIME>", config.handover_after.to_string()),
        ("admin <IP:PORT>", config.admin.to_string()),
        ("drain-deadline <DURATION>", period(config.drain.deadline)),
    ] {
        let (_, rest) = help.split_once(&format!("--{flag}")).expect(flag);
        let (_, rest) = rest.split_once("[default: ").expect(flag);
        assert_eq!(rest.split(']').next(), Some(default.as_str()), "--{flag}");
    }
}

#[test]
fn a_flag_beats_the_file_and_the_file_beats_the_default() {
    let file = "endpoint = \"file.example\"\nmin-ttl = \"2s\"\nresolver = [\"10.0.0.2\"]\n\
                table-size = 1000\nebpf-log = true\nfall = 5\ndatapath = \"relay\"";
    let flags = ["--endpoint=flag.example", "--resolver=10.0.0.3", "--ebpf-log=false"];
    let config = with_file(&flags, file).unwrap();
    assert_eq!(config.routes[0].endpoint.host.as_str(), "flag.example");
    assert_eq!(config.resolvers, ["10.0.0.3:53".parse().unwrap()]);
    assert!(!config.log.ebpf);
    assert_eq!(config.ttl.min, Duration::from_secs(2));
    assert_eq!(config.packet.connections, 1000);
    assert_eq!(config.health.fall.get(), 5);
    assert_eq!(config.datapath, DatapathChoice::Relay);
    assert_eq!(config.listener.connect_timeout, Duration::from_secs(3));
}

#[test]
fn a_bad_file_is_refused_with_the_key_the_line_and_the_value() {
    for (text, wrong) in [
        ("endpiont = \"a.example\"", vec!["line 1", "unknown field `endpiont`", "`endpoint`"]),
        ("endpoint = \"a.example\"\nmin-ttl = \"0s\"", vec!["line 2", "0s: must be longer"]),
        ("listen = \"0.0.0.0:0\"", vec!["line 1", "port 0"]),
        ("table-size = -1", vec!["line 1", "-1: is no number"]),
        ("fall = 0", vec!["line 1", "0"]),
        ("datapath = \"fast\"", vec!["unknown variant `fast`", "`relay`"]),
        ("endpoint = ", vec!["line 1"]),
    ] {
        let refusal = with_file(&[], text).expect_err(text);
        assert_eq!(refusal.field, "config");
        for part in wrong {
            assert!(refusal.to_string().contains(part), "{text}: {refusal}");
        }
    }
}

#[test]
fn the_whole_must_agree() {
    let refusal = |flags: &[&str]| Config::load(from_flags(flags), None).unwrap_err().to_string();
    assert_eq!(
        refusal(&["--endpoint=a.example", "--min-ttl=5s", "--max-ttl=2s"]),
        "min-ttl: 5s: is above --max-ttl 2s; lower the one or raise the other"
    );
    assert!(refusal(&[]).starts_with("endpoint: (none): "));
    for (flags, wrong) in [
        (
            ["--datapath=packet", "--proxy-protocol=v2"],
            "datapath: packet: --proxy-protocol v2 needs",
        ),
        (["--datapath=packet", "--sni=a.example"], "datapath: packet: --sni needs"),
        (["--datapath=packet", "--allow-source=10.0.0.0/8"], "--allow-source needs"),
        (["--datapath=packet", "--max-connections-per-source=9"], "per-source needs"),
        (["--datapath=relay", "--hook=xdp"], "hook: xdp: belongs to the packet path"),
        (["--datapath=sockmap", "--hook=xdp"], "and the data path is sockmap"),
        (["--datapath=packet", "--handover-after=1s"], "handover-after: 32768,1000ms: belongs to"),
        (["--datapath=relay", "--mss-clamp=1400"], "mss-clamp: 1400: belongs to the packet path"),
        (["--keepalive=350s", "--datapath=relay"], "keepalive: 350s: must be 1s or longer"),
        (["--keepalive=999ms", "--datapath=relay"], "keepalive: 999ms: must be 1s or longer"),
        (["--max-connections-per-vpce=5", "--datapath=relay"], "without --proxy-protocol v2"),
    ] {
        let refused = refusal(&["--endpoint=a.example", flags[0], flags[1]]);
        assert!(refused.contains(wrong), "{flags:?}: {refused}");
    }
    let path = Path::new("/does/not/exist.toml");
    let unreadable = Config::load(Settings::default(), Some(path)).unwrap_err().to_string();
    assert!(unreadable.starts_with("config: /does/not/exist.toml: cannot be read: "));
}

#[test]
fn connections_of_one_cluster_may_be_handed_over_where_the_listener_has_them() {
    let may = |flags: &[&str]| {
        let given = [&["--endpoint=api.example"], flags].concat();
        Config::load(from_flags(&given), None).unwrap().may_hand_over()
    };
    assert!(may(&["--datapath=handover"]));
    assert!(may(&["--proxy-protocol=v2"]));
    assert!(!may(&[]), "the program takes them all");
    assert!(!may(&["--datapath=relay", "--proxy-protocol=v2"]));
    let routes = "[[route]]\nendpoint = \"a.example\"\nsni = [\"a.example\"]\n\
                  [[route]]\nendpoint = \"b.example\"\nsni = [\"b.example\"]\n";
    assert!(!with_file(&[], routes).unwrap().may_hand_over());
}
