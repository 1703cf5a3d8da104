//! What runs a machine's code: the processor, or an emulation of it.

use std::fs::{self, OpenOptions};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Accel {
    Auto,
    Kvm,
    Tcg,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Kvm,
    Tcg,
}

impl Accel {
    pub fn engine(self) -> Engine {
        match self {
            Self::Kvm => Engine::Kvm,
            Self::Tcg => Engine::Tcg,
            Self::Auto if has_kvm() => Engine::Kvm,
            Self::Auto => Engine::Tcg,
        }
    }
}

/// The device alone says little: it may open where no kernel boots.
fn has_kvm() -> bool {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let has = |flag: &str| processor.split_whitespace().any(|word| word == flag);
    (has("vmx") || has("svm")) && OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok()
}

impl Engine {
    /// The emulated machine's time is what its one processor has done, a billion instructions
    /// a second, and where that waits its time leaps ahead. So deadlines mean the same on a busy
    /// host. With a second processor, kernels do not come up under this clock. A plain processor is
    /// a fifth faster than one with all that can be emulated.
    pub fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Kvm => &["-accel", "kvm", "-cpu", "host", "-smp", "2"],
            Self::Tcg => &[
                "-accel",
                "tcg,thread=single",
                "-cpu",
                "Nehalem",
                "-smp",
                "1",
                "-icount",
                "shift=0,sleep=off",
                "-rtc",
                "clock=vm",
            ],
        }
    }

    /// For the kernel's command line. An emulated one need not measure its clocks against one
    /// another: that takes half of its boot, since each turn of a waiting loop is slow.
    pub fn kernel_line(self) -> &'static str {
        match self {
            Self::Kvm => "",
            Self::Tcg => " nolapic_timer no_timer_check tsc_early_khz=1000000",
        }
    }
}
