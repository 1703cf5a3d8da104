//! Why a connection was refused for what its client said first.

/// The name of each is the label of its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refused {
    /// Opened and closed, as a health check of TCP does.
    SaidNothing,
    /// Opened by the load balancer for itself, and closed, or silent until the deadline.
    HealthCheck,
    HeaderTimeout,
    /// Closed within a header.
    HeaderTruncated,
    /// What came first is no header of version 2's kind.
    HeaderMissing,
    HeaderVersion,
    HeaderCommand,
    /// Neither TCP over IPv4 nor over IPv6.
    HeaderFamily,
    HeaderTooLong,
    HeaderMalformed,
    HeaderChecksum,
    HeadersTooMany,
    /// The header's VPC endpoint has an id of another form.
    VpceMalformed,
    HelloTimeout,
    /// Closed within the ClientHello.
    HelloTruncated,
    NotTls,
    HelloTooLong,
    /// A TLS record, but no ClientHello in it that can be read.
    HelloMalformed,
    /// No server name, where one is needed.
    ServerNameMissing,
    ServerNameUnknown,
}

impl Refused {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SaidNothing => "said_nothing",
            Self::HealthCheck => "health_check",
            Self::HeaderTimeout => "header_timeout",
            Self::HeaderTruncated => "header_truncated",
            Self::HeaderMissing => "header_missing",
            Self::HeaderVersion => "header_version",
            Self::HeaderCommand => "header_command",
            Self::HeaderFamily => "header_family",
            Self::HeaderTooLong => "header_too_long",
            Self::HeaderMalformed => "header_malformed",
            Self::HeaderChecksum => "header_checksum",
            Self::HeadersTooMany => "headers_too_many",
            Self::VpceMalformed => "vpce_malformed",
            Self::HelloTimeout => "hello_timeout",
            Self::HelloTruncated => "hello_truncated",
            Self::NotTls => "not_tls",
            Self::HelloTooLong => "hello_too_long",
            Self::HelloMalformed => "hello_malformed",
            Self::ServerNameMissing => "server_name_missing",
            Self::ServerNameUnknown => "server_name_unknown",
        }
    }

    /// Nothing went wrong: somebody looked whether the port is open.
    pub const fn is_quiet(self) -> bool {
        matches!(self, Self::SaidNothing | Self::HealthCheck)
    }
}
