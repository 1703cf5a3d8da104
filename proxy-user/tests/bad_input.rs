//! What is wrong with the input ends the agent before it touches the network: exit code 2, and a
//! message that names the field, the value and what would be right.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::{
    fs,
    io::Read as _,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    process::{Child, Command, Stdio},
    thread::{sleep, spawn},
    time::{Duration, Instant},
};

const ENIGATE: &str = env!("CARGO_BIN_EXE_enigate");
const DEADLINE: Duration = Duration::from_secs(20);
const NOBODY: u32 = 65_534;
/// Stands for all that is right, so that only one thing is wrong.
const GOOD: [&str; 2] = ["--endpoint=api.example", "--datapath=relay"];

fn enigate(binary: &str) -> Command {
    let mut command = Command::new(binary);
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.arg("run").env("ENIGATE_STATE_DIR", env!("CARGO_TARGET_TMPDIR"));
    command
}

/// Exit code and standard error; a process that does not end is ended, and is a failure.
fn end(mut child: Child) -> (Option<i32>, String) {
    let deadline = Instant::now() + DEADLINE;
    let code = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            break None;
        }
        sleep(Duration::from_millis(5));
    };
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (code, said)
}

fn refused(mut command: Command, parts: &[&str]) {
    let (code, said) = end(command.spawn().unwrap());
    assert_eq!(code, Some(2), "{command:?} said:\n{said}");
    assert!(!said.contains("panicked") && said.lines().count() <= 8, "{said}");
    for part in parts {
        assert!(said.contains(part), "{command:?}: no {part:?} in:\n{said}");
    }
}

fn refused_flags(flags: &[&str], parts: &[&str]) {
    let mut command = enigate(ENIGATE);
    command.args(GOOD).args(flags);
    refused(command, parts);
}

fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

#[test]
fn an_endpoint_that_is_no_host_name() {
    for (endpoint, wrong) in [
        ("10.0.0.1", "IP address"),
        ("[fd00::1]:443", "IP address"),
        ("under_score.example", "'_'"),
        ("https://api.example/", "URL"),
        ("api.example:0", "port \"0\""),
        ("", "missing"),
    ] {
        let mut command = enigate(ENIGATE);
        command.args(["--endpoint", endpoint]);
        refused(command, &["--endpoint", endpoint, wrong]);
    }
    refused(enigate(ENIGATE), &["endpoint: (none)", "--endpoint HOST"]);
}

#[test]
fn port_zero() {
    refused_flags(&["--listen=0.0.0.0:0"], &["--listen", "'0.0.0.0:0'", "from 1 to 65535"]);
    refused_flags(&["--admin=127.0.0.1:0"], &["--admin", "'127.0.0.1:0'", "from 1 to 65535"]);
}

#[test]
fn an_address_that_is_in_use() {
    let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    let free = free_address().to_string();
    let listen = ["--listen", &taken, "--admin", &free];
    refused_flags(&listen, &["listen", &taken, "in use", "give another --listen"]);
    let admin = ["--listen", &free, "--admin", &taken];
    refused_flags(&admin, &["admin", &taken, "in use", "give another --admin"]);
}

#[test]
fn an_unknown_interface() {
    let (listen, admin) = (free_address().to_string(), free_address().to_string());
    let flags = ["--interface=no-such-if0", "--listen", &listen, "--admin", &admin];
    refused_flags(&flags, &["interface: no-such-if0", "no such interface", "this host has", "lo"]);
}

#[test]
fn a_folder_for_answers_that_cannot_be_used() {
    refused_flags(&["--state-dir=state"], &["--state-dir", "'state'", "absolute path"]);
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let (listen, admin) = (free_address().to_string(), free_address().to_string());
    let flags = ["--state-dir", path, "--listen", &listen, "--admin", &admin];
    refused_flags(&flags, &[&format!("state-dir: {path}: cannot be made"), "give a folder"]);

    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let path = folder.path().to_str().unwrap();
    let flags = ["--state-dir", path, "--listen", &listen, "--admin", &admin];
    refused_flags(&flags, &[&format!("state-dir: {path}: everybody may write"), "chmod o-w"]);
}

#[test]
fn a_shortest_ttl_above_the_longest() {
    let flags = ["--min-ttl=5s", "--max-ttl=2s"];
    refused_flags(&flags, &["min-ttl: 5s", "above --max-ttl 2s", "lower the one"]);
}

#[test]
fn a_duration_without_a_unit() {
    refused_flags(&["--min-ttl=5"], &["--min-ttl", "'5'", "500ms"]);
    refused_flags(&["--health-interval=0s"], &["--health-interval", "'0s'", "longer than 0"]);
    for flag in ["--max-ttl", "--drain-deadline", "--timeout-syn", "--reset-window"] {
        refused_flags(&[flag, "-1s"], &[flag, "'-1s'", "500ms"]);
    }
}

#[test]
fn a_number_out_of_range() {
    refused_flags(&["--table-size", "0"], &["--table-size", "'0'", "from 1 to"]);
    refused_flags(&["--mss-clamp", "535"], &["--mss-clamp", "'535'", "from 536 to 65495"]);
    refused_flags(&["--table-size", "-1"], &["--table-size", "'-1'", "from 1 to"]);
    refused_flags(&["--fall", "0"], &["--fall", "'0'", "from 1 to 255"]);
    refused_flags(&["--rise", "many"], &["--rise", "'many'", "from 1 to 255"]);
}

#[test]
fn a_level_of_the_log_that_there_is_not() {
    refused_flags(&["--log-level=wran"], &["--log-level", "'wran'", "is no level", "warn"]);
}

#[test]
fn a_hook_where_nothing_is_attached() {
    refused_flags(&["--mss-clamp=1400"], &["mss-clamp: 1400", "data path is relay"]);
    refused_flags(&["--hook=xdp"], &["hook: xdp", "data path is relay", "--datapath packet"]);
}

#[test]
fn bounds_from_two_sources_that_disagree() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "min-ttl = \"90s\"\n").unwrap();
    let mut command = enigate(ENIGATE);
    command.args(GOOD).arg("--config").arg(file.path()).env("ENIGATE_MAX_TTL", "10s");
    refused(command, &["min-ttl: 90s", "above --max-ttl 10s"]);
}

#[test]
fn a_configuration_file_that_cannot_be_read() {
    let missing = "/does/not/exist.toml";
    refused_flags(&["--config", missing], &["config", missing, "No such file"]);
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    refused_flags(&["--config", folder], &["config", folder, "cannot be read"]);
}

#[test]
fn an_unknown_key_in_the_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "endpoint = \"api.example\"\nmin-tll = \"1s\"\n").unwrap();
    let path = file.path().to_str().unwrap();
    refused_flags(&["--config", path], &[path, "line 2", "unknown field `min-tll`", "`min-ttl`"]);
}

#[test]
fn a_bad_value_in_the_environment() {
    let mut command = enigate(ENIGATE);
    command.args(GOOD).env("ENIGATE_TABLE_SIZE", "lots");
    refused(command, &["--table-size", "'lots'", "from 1 to"]);
}

/// A resolver that answers each question with a failure, so that nobody waits for it.
fn failing_resolver() -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    spawn(move || {
        let mut message = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut message) {
            message[2] |= 0x80; // a response
            message[3] = 2; // SERVFAIL
            let _client_is_gone = socket.send_to(&message[..length], client);
        }
    });
    address
}

/// What cannot be run is not found fit either, even where a relay would do.
#[test]
fn check_refuses_what_run_refuses_and_names_it_once() {
    let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    spawn(move || holder.incoming().for_each(drop));
    let mut command = Command::new(ENIGATE);
    command.env_clear().args(["check", "--endpoint=api.example", "--interface=no-such-if0"]);
    command.args(["--resolver", &failing_resolver().to_string()]);
    command.args(["--listen", &taken, "--admin", &taken]);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    for line in [
        &format!("FAIL  listen    {taken}: cannot be bound"),
        &format!("FAIL  admin     {taken}: cannot be bound"),
        "FAIL  datapath  interface: no-such-if0: there is no such interface",
        "FAIL  dns       api.example: ",
    ] {
        assert!(said.contains(line), "no {line:?} in:\n{said}");
    }
}

#[test]
fn a_completion_script_that_nobody_reads() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(ENIGATE);
    command.args(["completions", "bash"]).stdout(writer).stderr(Stdio::piped());
    let (code, said) = end(command.spawn().unwrap());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("Broken pipe") && !said.contains("panicked"), "{said}");
}

/// Run by root, the agent becomes nobody; run by anybody else, it has no capabilities either.
#[test]
fn the_packet_path_without_capabilities() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let binary = folder.path().join("enigate");
    fs::copy(ENIGATE, &binary).unwrap();
    let mut command = enigate(binary.to_str().unwrap());
    if nix::unistd::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let (listen, admin) = (free_address().to_string(), free_address().to_string());
    command.env_remove("ENIGATE_STATE_DIR");
    command.args(["--endpoint=api.example", "--datapath=packet"]);
    command.args(["--listen", &listen, "--admin", &admin]);
    refused(
        command,
        &["datapath: packet", "CAP_BPF, CAP_NET_ADMIN, CAP_NET_RAW, CAP_PERFMON", "relay"],
    );
}
