//! A place for a test that attaches: a network namespace and a folder for pins of its own.

use std::{cell::Cell, path::PathBuf, process, thread, time::Duration};

use proxy_common::config::{Events, Opens};
use proxy_user::{
    config::{FlowTimeouts, MssClamp, SourcePorts},
    datapath::kernel::{Attachment, Hook, Kernel, detach},
};

use crate::links;

/// Gone with its thread.
pub struct Place {
    pub pin_dir: PathBuf,
    pub source_ports: Cell<SourcePorts>,
}

/// Runs a test on a thread whose namespace nobody else is in.
pub fn inside(name: &str, test: fn(&Place)) {
    let pin_dir = PathBuf::from(format!("/sys/fs/bpf/enigate-test-{name}-{}", process::id()));
    let run = move || {
        links::enter();
        test(&Place { pin_dir, source_ports: Cell::default() });
    };
    if let Err(panic) = thread::spawn(run).join() {
        std::panic::resume_unwind(panic);
    }
}

impl Place {
    pub fn attach(&self, interface: &str, hook: Hook) -> anyhow::Result<Kernel> {
        Kernel::attach(&Attachment {
            interface: interface.into(),
            listen: "0.0.0.0:443".parse()?,
            hook,
            pin_dir: self.pin_dir.clone(),
            connections: 64,
            source_ports: self.source_ports.get(),
            timeouts: FlowTimeouts::default(),
            reset_window: Duration::from_millis(100),
            mss_clamp: MssClamp::default(),
            opens: Opens::Program,
            is_alone: true,
            max_age: None,
            events: Events::None,
            log: false,
        })
    }

    pub fn detach(&self) -> Vec<String> {
        detach(&self.pin_dir, None).expect("detached")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.pin_dir.exists() {
            self.detach();
        }
    }
}
