//! Where the host itself gets Debian's packages from.

use std::process::Command;

use anyhow::bail;

use crate::cargo;

/// Addresses of archives.
pub struct Mirrors {
    main: String,
    security: String,
}

impl Mirrors {
    pub fn of_this_host() -> anyhow::Result<Self> {
        let mut command = Command::new("apt-get");
        command.args([
            "indextargets",
            "--format",
            "$(REPO_URI) $(RELEASE)",
            "Created-By: Packages",
        ]);
        Self::parse(&cargo::output(&mut command)?)
    }

    fn parse(said: &str) -> anyhow::Result<Self> {
        let of = |is: &dyn Fn(&str) -> bool| {
            let mut lines = said.lines().filter_map(|line| line.split_once(' '));
            lines.find(|(_, suite)| is(suite)).map(|(uri, _)| uri.to_owned())
        };
        let security = of(&|suite| suite.ends_with("-security"));
        // The archive alone has these.
        let main = of(&|suite| suite.ends_with("-updates") || suite.ends_with("-backports"));
        let (Some(main), Some(security)) = (main, security) else {
            bail!(
                "the kernels come from Debian's archive, and this host's apt sources have no \
                 -updates and -security suites; bring a kernel with --vmlinuz and --modules"
            );
        };
        Ok(Self { main, security })
    }

    pub fn of(&self, suite: &str) -> &str {
        if suite.ends_with("-security") { &self.security } else { &self.main }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_come_from_the_hosts_own_mirrors() {
        let said = "http://a.example/other/ cloud-sdk\nhttp://a.example/sec/ bookworm-security\n\
                    http://a.example/deb/ bookworm\nhttp://a.example/deb/ bookworm-updates\n";
        let mirrors = Mirrors::parse(said).expect("both");
        assert_eq!(mirrors.of("bullseye-security"), "http://a.example/sec/");
        assert_eq!(mirrors.of("trixie-backports"), "http://a.example/deb/");
        assert!(Mirrors::parse("http://a.example/other/ cloud-sdk\n").is_err());
    }
}
