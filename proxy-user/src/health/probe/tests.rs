mod server;

use tokio::time::timeout;

use self::server::{Answer, Server};
use super::*;
use crate::{
    config::{Config, Settings},
    health::Outcome,
};

const DEADLINE: Duration = Duration::from_secs(20);
const NAME: &str = "api.example";

/// With these settings, a name that certificates of [`server`] bear, and time enough.
fn probe(settings: &str) -> Probe {
    let settings: Settings = toml::from_str(settings).unwrap();
    let given = Settings { endpoint: Some(NAME.parse().unwrap()), ..settings };
    let config = Config::load(given, None).unwrap();
    Probe::new(&config.routes[0].endpoint, &config.health).unwrap()
}

/// For what is to end by itself.
const PATIENT: &str = "health-timeout = \"10s\"";

async fn ask(server: &Server, settings: &str) -> Finding {
    let probe = probe(settings);
    timeout(DEADLINE, probe.of(server.address)).await.expect("a probe is bounded")
}

fn said(finding: &Finding) -> String {
    finding.result.as_ref().expect_err("it fails").to_string()
}

#[tokio::test]
async fn a_listener_passes_and_a_closed_port_fails() {
    let server = Server::silent().await;
    let tcp = ask(&server, PATIENT).await;
    assert!(tcp.result.is_ok(), "{tcp:?}");
    let address = server.close().await;
    let closed = probe(PATIENT).of(address).await;
    assert!(said(&closed).contains("refused"), "{closed:?}");
}

#[tokio::test]
async fn any_certificate_passes_without_an_authority_to_ask() {
    for server in [
        Server::tls(NAME, Answer::status(200)).await,
        Server::tls("other.example", Answer::status(200)).await,
        Server::expired(NAME).await,
    ] {
        for kind in ["tls", "https"] {
            let finding = ask(&server, &format!("health = \"{kind}\"\n{PATIENT}")).await;
            assert!(finding.result.is_ok(), "{kind}: {finding:?}");
        }
    }
}

#[tokio::test]
async fn with_an_authority_the_certificate_must_come_from_it_and_bear_the_name() {
    let ours = Server::tls(NAME, Answer::status(200)).await;
    let other_name = Server::tls("other.example", Answer::status(200)).await;
    let old = Server::expired(NAME).await;
    let other_cluster = Server::tls(NAME, Answer::status(200)).await;
    let somebody = Server::of_authority("Somebody", NAME).await;
    let (failed, stranger) = (Outcome::Failed, Outcome::Stranger);
    for kind in ["tls", "https"] {
        let with = |ca: &Server| {
            format!("health = \"{kind}\"\nca = {:?}\n{PATIENT}", ca.authority().path())
        };
        let passed = ask(&ours, &with(&ours)).await;
        assert_eq!(passed.outcome(), Some(Outcome::Passed), "{passed:?}");
        for (server, ca, outcome, words) in [
            (
                &other_name,
                &other_name,
                stranger,
                "its certificate is for other.example, not api.example",
            ),
            (&other_cluster, &ours, stranger, "its certificate comes from another issuer"),
            (&somebody, &ours, stranger, "its certificate comes from an unknown issuer"),
            (&old, &old, failed, "its certificate expired at 2001-01-01T00:00:00Z"),
        ] {
            let finding = ask(server, &with(ca)).await;
            assert!(said(&finding).starts_with(words), "{kind}: {}", said(&finding));
            assert_eq!(finding.outcome(), Some(outcome), "{words}");
        }
    }
}

#[tokio::test]
async fn a_server_that_is_there_passes_and_one_that_is_ill_does_not() {
    for (code, outcome) in
        [(200, "passed"), (401, "passed"), (403, "passed"), (500, "500"), (404, "404")]
    {
        let server = Server::tls(NAME, Answer::status(code)).await;
        let finding = ask(&server, &format!("health = \"https\"\n{PATIENT}")).await;
        match outcome {
            "passed" => assert!(finding.result.is_ok(), "{code}: {finding:?}"),
            code => assert!(said(&finding).contains(code), "{}", said(&finding)),
        }
    }
}

#[tokio::test]
async fn the_request_is_what_a_client_of_the_endpoint_sends() {
    let server = Server::tls(NAME, Answer::status(200)).await;
    let finding = ask(&server, &format!("health = \"https\"\n{PATIENT}")).await;
    assert!(finding.result.is_ok(), "{finding:?}");
    let request = server.request().await;
    assert_eq!(request.server_name.as_deref(), Some(NAME));
    let mut lines = request.head.lines();
    assert_eq!(lines.next(), Some("GET /readyz HTTP/1.1"));
    let headers: Vec<_> = lines.collect();
    let agent = format!("user-agent: enigate/{}", env!("CARGO_PKG_VERSION"));
    for header in ["host: api.example", &agent] {
        assert!(headers.contains(&header), "no {header:?} in {headers:?}");
    }
}

#[tokio::test]
async fn what_is_no_http_fails_at_once() {
    for answer in [
        Answer::once("SSH-2.0-OpenSSH_9.2\r\n\r\n"),
        Answer::once("HTTP/1.1 two hundred\r\n\r\n"),
        Answer::once(""),
        Answer::once(&format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(100_000))),
        Answer::once(&format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(10_000))),
    ] {
        let server = Server::tls(NAME, answer.clone()).await;
        let finding = ask(&server, &format!("health = \"https\"\n{PATIENT}")).await;
        assert!(
            said(&finding).starts_with("no answer to GET /readyz: "),
            "{answer:?}: {finding:?}"
        );
    }
}

#[tokio::test]
async fn what_speaks_no_tls_fails_at_once() {
    let server = Server::plain("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let finding = ask(&server, &format!("health = \"tls\"\n{PATIENT}")).await;
    assert!(said(&finding).starts_with("no TLS: "), "{finding:?}");
}

/// However little is said, and however often.
#[tokio::test]
async fn a_probe_ends_with_its_time_and_says_how_far_it_came() {
    let slow = Answer::dripping("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    for (server, kind, words) in [
        (Server::silent().await, "tls", "it accepts the connection, and no TLS handshake"),
        (Server::silent().await, "https", "it accepts the connection, and no TLS handshake"),
        (Server::tls(NAME, Answer::never()).await, "https", "TLS is up, and no answer"),
        (Server::tls(NAME, slow).await, "https", "TLS is up, and no answer"),
    ] {
        let finding =
            ask(&server, &format!("health = \"{kind}\"\nhealth-timeout = \"500ms\"")).await;
        assert!(said(&finding).starts_with(words), "{kind}: {finding:?}");
        assert!(said(&finding).ends_with("within 500ms"), "{finding:?}");
    }
}

#[tokio::test]
async fn a_body_without_an_end_holds_up_nobody() {
    let server = Server::tls(NAME, Answer::endless("HTTP/1.1 200 OK\r\n\r\n")).await;
    let finding = ask(&server, &format!("health = \"https\"\n{PATIENT}")).await;
    assert!(finding.result.is_ok(), "{finding:?}");
}
