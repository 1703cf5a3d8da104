//! What scenarios have in common: a lab that shows the agent's log when the scenario fails.

use std::{
    env,
    fmt::Debug,
    future::Future,
    ops::{Deref, DerefMut},
    path::PathBuf,
    str::FromStr,
    thread,
    time::Duration,
};

use proxy_user::status::{BackendState, Status};
use tokio::time::{Instant, sleep, timeout};
use vm_tests::{Lab, Options, Service, has_tcx};

const POLL: Duration = Duration::from_millis(20);

/// `None` only while it is taken down.
pub struct Scenario(Option<Lab>);

/// A lab called by the scenario's name, in namespaces.
pub async fn lab(name: &str, change: impl FnOnce(&mut Options)) -> Scenario {
    let mut options = options();
    assert!(options.privileged, "this scenario needs root: run the tests as root");
    change(&mut options);
    start(name, options).await
}

/// With both families at this hook, and echo servers.
pub async fn dual_stack(name: &str, hook: &str) -> Scenario {
    dual_stack_with(name, |options| {
        options.agent_flags = hook_flags(hook);
        options.plain_frames = true;
    })
    .await
}

pub async fn dual_stack_with(name: &str, change: impl FnOnce(&mut Options)) -> Scenario {
    lab(name, |options| {
        options.dual_stack = true;
        options.service = Service::Echo;
        change(options);
    })
    .await
}

/// The hook that the packet path has at TC on this kernel.
pub fn tc() -> &'static str {
    if has_tcx() { "tcx" } else { "clsact" }
}

/// All that scenarios usually give the agent, and the hook.
pub fn hook_flags(hook: &str) -> Vec<String> {
    let mut given = quick();
    given.extend(flags(&["--hook", hook]));
    given
}

pub async fn start(name: &str, options: Options) -> Scenario {
    let lab = Lab::start(name, options, |_| {}).await;
    Scenario(Some(lab.unwrap_or_else(|error| panic!("starting the lab: {error:#}"))))
}

/// Quick to notice things, so that scenarios are quick.
pub fn options() -> Options {
    let mut options = Options::new(agent());
    options.ttl = Duration::from_secs(1);
    options.agent_flags = quick();
    options
}

pub fn quick() -> Vec<String> {
    flags(&["--health-interval", "200ms", "--health-timeout", "500ms"])
}

pub fn flags(flags: &[&str]) -> Vec<String> {
    flags.iter().map(ToString::to_string).collect()
}

/// `$EG_AGENT`, or what `cargo build` has put beside the tests.
fn agent() -> PathBuf {
    if let Some(path) = env::var_os("EG_AGENT") {
        return path.into();
    }
    let test = env::current_exe().expect("the path of this test");
    let folder = test.ancestors().nth(2).expect("target/<profile>/deps/<test>");
    let agent = folder.join("enigate");
    assert!(
        agent.is_file(),
        "{} is not there: run `cargo build -p proxy-user` first, or set EG_AGENT",
        agent.display()
    );
    agent
}

/// What a machine that is slow, or somebody who has time, asks a scenario for.
pub fn asked_for<T: FromStr<Err: Debug>>(variable: &str) -> Option<T> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{variable}: {text}: {error:?}")))
}

impl Scenario {
    pub async fn status(&mut self) -> Status {
        self.agent().status().await.expect("the agent's status")
    }

    /// Polls the agent until its status is as wanted.
    pub async fn until(
        &mut self,
        what: &str,
        deadline: Duration,
        wanted: impl Fn(&Status) -> bool,
    ) -> Status {
        let end = Instant::now() + deadline;
        loop {
            let status = self.status().await;
            if wanted(&status) {
                return status;
            }
            assert!(Instant::now() < end, "{what}: not within {deadline:?}: {status:#?}");
            sleep(POLL).await;
        }
    }

    pub async fn done(mut self) {
        let lab = self.0.take().expect("done once");
        lab.stop().await.expect("taking the lab down");
    }
}

impl Deref for Scenario {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        self.0.as_ref().expect("the lab is up")
    }
}

impl DerefMut for Scenario {
    fn deref_mut(&mut self) -> &mut Lab {
        self.0.as_mut().expect("the lab is up")
    }
}

impl Drop for Scenario {
    fn drop(&mut self) {
        if let Some(lab) = &mut self.0
            && thread::panicking()
        {
            eprintln!("--- the agent's log:\n{}---", lab.agent().log());
        }
    }
}

/// Fails, and says what it waited for, when it takes too long.
pub async fn within<T>(what: &str, deadline: Duration, future: impl Future<Output = T>) -> T {
    timeout(deadline, future).await.unwrap_or_else(|_| panic!("{what}: not within {deadline:?}"))
}

pub fn live(status: &Status) -> usize {
    status.backends().filter(|backend| backend.state == BackendState::Live).count()
}

/// Connections that the packet path has opened, to all backends.
pub fn opened(status: &Status) -> u64 {
    status.backends().map(|backend| backend.opened).sum()
}

/// Packets that the packet path left to the host's stack, or dropped, for this reason.
pub fn not_forwarded(status: &Status, reason: &str) -> u64 {
    status.reasons.get(reason).copied().unwrap_or_default()
}
