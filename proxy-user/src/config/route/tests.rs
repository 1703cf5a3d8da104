use super::*;
use crate::config::tests::{from_flags, with_file};

fn file(text: &str) -> Result<Vec<Route>, String> {
    with_file(&[], text).map(|config| config.routes).map_err(|refusal| refusal.to_string())
}

#[test]
fn a_route_takes_what_it_does_not_say_from_above() {
    let text = r#"
        listen = "0.0.0.0:8443"
        proxy-protocol = "v2"
        allow-vpce = ["vpce-0123456789abcdef0"]
        [[route]]
        endpoint = "a.example"
        [[route]]
        endpoint = "b.example:6443"
        listen = "0.0.0.0:9443"
        sni = ["b.example", "*.b.example"]
        allow-vpce = ["vpce-0fedcba9876543210"]
    "#;
    let routes = file(text).unwrap();
    let [a, b] = routes.as_slice() else { panic!("{routes:?}") };
    assert_eq!((a.listen.port(), a.endpoint.to_string()), (8443, "a.example:443".into()));
    assert_eq!(a.vpces[0].to_string(), "vpce-0123456789abcdef0");
    assert!(a.server_names.is_empty(), "it has its listener for itself");
    assert_eq!((b.listen.port(), b.endpoint.to_string()), (9443, "b.example:6443".into()));
    assert_eq!(b.vpces[0].to_string(), "vpce-0fedcba9876543210");
    assert_eq!(b.server_names.len(), 2);
}

#[test]
fn routes_of_one_listener_are_told_apart_by_their_endpoints_names() {
    let routes = file("[[route]]\nendpoint = \"A.example\"\n[[route]]\nendpoint = \"b.example\"");
    let names: Vec<_> = routes.unwrap().iter().map(|it| it.server_names[0].to_string()).collect();
    assert_eq!(names, ["a.example", "b.example"]);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let two = |rest: &str| format!("[[route]]\nendpoint = \"a.example\"\n[[route]]\n{rest}");
    for (text, wrong) in [
        (two("sni = [\"x.example\"]"), "has no endpoint"),
        (two("endpoint = \"A.example\""), "a.example:443: has two [[route]] tables"),
        (
            two("endpoint = \"b.example\"\nsni = [\"A.EXAMPLE\"]"),
            "sni: a.example: leads to a.example:443 and to b.example:443",
        ),
        (two("endpoint = \"b.example\"\nendpiont = \"c\""), "unknown field `endpiont`"),
        (format!("endpoint = \"c.example\"\n{}", two("")), "endpoint: c.example:443: the file has"),
        (format!("sni = [\"c.example\"]\n{}", two("")), "sni: c.example: the file has"),
        (
            two("endpoint = \"b.example\"\nallow-vpce = [\"vpce-0123456789abcdef0\"]"),
            "add --proxy-protocol v2",
        ),
        (
            format!("datapath = \"packet\"\n{}", two("endpoint = \"b.example\"")),
            "datapath: packet: several [[route]] tables need a listener",
        ),
    ] {
        let refusal = file(&text).expect_err(&text);
        assert!(refusal.contains(wrong), "{text}: {refusal}");
    }
}

#[test]
fn flags_of_one_route_and_routes_of_the_file_exclude_each_other() {
    let refusal = with_file(&["--endpoint=c.example"], "[[route]]\nendpoint = \"a.example\"");
    assert!(refusal.unwrap_err().to_string().starts_with("endpoint: c.example:443: "));
    let settings = from_flags(&["--endpoint=c.example", "--sni=c.example,*.c.example"]);
    assert_eq!(routes(&settings).unwrap()[0].server_names.len(), 2);
}
