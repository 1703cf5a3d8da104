//! kubectl, as users have it.

use crate::setting::lab;

#[tokio::test]
async fn kubectl_asks_for_readyz_and_lists_pods() {
    let lab = lab("kubectl", |_| {}).await;
    let Some(ready) = lab.kubectl(&["get", "--raw", "/readyz"]).await.expect("kubectl runs") else {
        eprintln!("not run: there is no kubectl on the PATH");
        return;
    };
    let said = String::from_utf8_lossy(&ready.stdout);
    let error = String::from_utf8_lossy(&ready.stderr);
    assert_eq!((said.as_ref(), ready.status.success()), ("ok", true), "{error}");
    let pods = lab.kubectl(&["get", "--raw", "/api/v1/pods"]).await.expect("kubectl runs");
    let pods = pods.expect("it was there before");
    assert!(pods.status.success() && pods.stdout.len() > 200_000, "{} bytes", pods.stdout.len());
    lab.done().await;
}
